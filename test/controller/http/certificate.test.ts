// Certificates that are replaced under a running server, as Kubernetes replaces them: a link is swapped.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFile, mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { startServer } from '../../../controller/http/server.ts';
import type { Logger } from '../../../evidence/index.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';
import { type Pair, selfSigned } from './certificates.ts';

/** Subject of the certificate that a new connection is shown. */
async function shown(port: number, version?: 'TLSv1.1' | 'TLSv1.3'): Promise<string> {
  const versions = version === undefined ? {} : ({ minVersion: version, maxVersion: version } as const);
  // a client that would take the old version, as OpenSSL's default level would not
  const old = version === 'TLSv1.1' ? { ciphers: 'DEFAULT@SECLEVEL=0' } : {};
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...versions, ...old });
  await once(socket, 'secureConnect');
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return String(subject.CN);
}

async function within(seconds: number, probe: () => Promise<boolean> | boolean): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !(await probe()); await sleep(50))
    assert.ok(Date.now() < end, `not within ${seconds} s: ${probe}`);
}

/** A folder as the kubelet mounts a Secret: files are links through "..data", which is swapped for another. */
async function secretFolder(t: TestContext) {
  const folder = await temporaryFolder(t);
  let number = 0;
  const put = async (cert: string, key: string): Promise<void> => {
    const version = `..version${number++}`;
    await mkdir(join(folder, version));
    await copyFile(cert, join(folder, version, 'tls.crt'));
    await copyFile(key, join(folder, version, 'tls.key'));
    await symlink(version, join(folder, '..new'));
    await rename(join(folder, '..new'), join(folder, '..data'));
  };
  const files: Pair = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
  await symlink('..data/tls.crt', files.cert);
  await symlink('..data/tls.key', files.key);
  return { files, put };
}

test('a new pair is shown to new connections, a broken one is logged and the good one stays', async (t) => {
  const made = await temporaryFolder(t);
  const [first, second, third] = await Promise.all(['first', 'second', 'third'].map((name) => selfSigned(made, name)));
  assert.ok(first && second && third);
  const { files, put } = await secretFolder(t);
  await put(first.cert, first.key);
  const logged: string[] = [];
  const keep = (message: string, fields = {}): void => void logged.push(`${message} ${JSON.stringify(fields)}`);
  const log: Logger = { debug: keep, info: keep, warn: keep, error: keep };
  const server = await startServer({ routes: [], tls: files, host: '127.0.0.1', port: 0, log });
  t.after(() => server.close(0));
  assert.equal(await shown(server.port), 'first');
  assert.equal(await shown(server.port, 'TLSv1.3'), 'first');
  await assert.rejects(shown(server.port, 'TLSv1.1'));

  const old = connect({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false });
  await once(old, 'secureConnect');
  await put(second.cert, second.key);
  await within(5, async () => (await shown(server.port)) === 'second');
  assert.equal(old.destroyed, false, 'who is connected stays so');
  old.destroy();
  await assert.rejects(shown(server.port, 'TLSv1.1'), 'its versions are those of the first');

  const broken = (): number => logged.filter((line) => line.includes('cannot be used')).length;
  await put(third.cert, second.key); // not of one another
  await within(5, () => broken() === 1);
  await writeFile(join(made, 'garbage'), 'no PEM');
  await put(join(made, 'garbage'), third.key);
  await within(5, () => broken() === 2);
  assert.equal(await shown(server.port), 'second');
  await put(third.cert, third.key);
  await within(5, async () => (await shown(server.port)) === 'third');
  assert.equal(broken(), 2);
  assert.ok(logged.every((line) => !line.includes('PRIVATE KEY')));
});

test('a server does not start with a pair that is none', async (t) => {
  const made = await temporaryFolder(t);
  const [one, other] = await Promise.all([selfSigned(made, 'one'), selfSigned(made, 'other')]);
  const log: Logger = { debug() {}, info() {}, warn() {}, error() {} };
  const options = { routes: [], host: '127.0.0.1', port: 0, log };
  await assert.rejects(startServer({ ...options, tls: { cert: one.cert, key: other.key } }), /key values mismatch/);
  await assert.rejects(startServer({ ...options, tls: { cert: join(made, 'none'), key: one.key } }), /ENOENT/);
});
