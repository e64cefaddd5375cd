// Authorities of certificates of the tests' own, and what they sign: also what has expired.
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Paths of PEM files. */
export interface SignedPair {
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  /** Path of its own certificate. */
  readonly ca: string;
  /** For a server; `alternatives` as "DNS:a,IP:1.2.3.4". Of less than no days it has expired. */
  sign(name: string, alternatives: string, days?: number): Promise<SignedPair>;
}

/** Its files, and those that it signs, begin with its name. */
export async function makeAuthority(folder: string, name: string): Promise<Authority> {
  const own = { cert: join(folder, `${name}-ca.crt`), key: join(folder, `${name}-ca.key`) };
  await execute('openssl', [
    ...['req', '-x509', ...KEY, '-days', '30', '-subj', `/CN=${name}`, '-keyout', own.key, '-out', own.cert],
    ...['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign'],
  ]);
  return authorityOf(folder, name, own);
}

/** One that there is already. */
export function authorityOf(folder: string, name: string, own: SignedPair): Authority {
  return {
    ca: own.cert,
    async sign(of, alternatives, days = 30) {
      const file = (ending: string): string => join(folder, `${name}-${of}.${ending}`);
      const [cert, key, request, extensions] = [file('crt'), file('key'), file('csr'), file('ext')];
      await writeFile(extensions, `subjectAltName=${alternatives}\nextendedKeyUsage=serverAuth\n`);
      await execute('openssl', ['req', ...KEY, '-subj', `/CN=${of}`, '-keyout', key, '-out', request]);
      await execute('openssl', [
        ...['x509', '-req', '-in', request, '-CA', own.cert, '-CAkey', own.key, '-CAserial', file('srl')],
        ...['-CAcreateserial', '-days', String(days), '-extfile', extensions, '-out', cert],
      ]);
      return { cert, key };
    },
  };
}
