// A certificate of a server at 127.0.0.1 that is its own authority.
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { temporaryFolder } from '../helpers/temporary.ts';

export async function generateCertificate(t: TestContext): Promise<{ readonly key: Buffer; readonly cert: Buffer }> {
  const folder = await temporaryFolder(t);
  const [key, cert] = [join(folder, 'key'), join(folder, 'cert')];
  await promisify(execFile)('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert],
  ]);
  return { key: await readFile(key), cert: await readFile(cert) };
}
