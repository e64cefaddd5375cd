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
import { makeAuthority } from '../../helpers/authority.ts';
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

function kept() {
  const logged: string[] = [];
  const at =
    (level: string) =>
    (message: string, fields: object = {}): void =>
      void logged.push(`${level} ${message} ${JSON.stringify(fields)}`);
  const log: Logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  return { log, logged };
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

test('one that has expired does not take the place of one that has not, and is said', async (t) => {
  const made = await temporaryFolder(t);
  const authority = await makeAuthority(made, 'authority');
  const [good, old, newer] = await Promise.all([
    authority.sign('good', 'IP:127.0.0.1'),
    authority.sign('old', 'IP:127.0.0.1', -1),
    authority.sign('newer', 'IP:127.0.0.1'),
  ]);
  const { files, put } = await secretFolder(t);
  const { log, logged } = kept();
  await put(old.cert, old.key);
  const server = await startServer({ routes: [], tls: files, host: '127.0.0.1', port: 0, log });
  t.after(() => server.close(0));
  assert.equal(await shown(server.port), 'old', 'it serves nothing better, and says so');
  assert.match(
    logged.join('\n'),
    /^error the TLS certificate has expired, .*Secret impound-controller-tls.*"code":"certificate-expired".*"subject":"CN=old"/,
  );

  await put(good.cert, good.key);
  await within(5, async () => (await shown(server.port)) === 'good');
  await put(old.cert, old.key);
  await within(5, () => server.certificates().refused?.subject === 'CN=old');
  assert.equal(await shown(server.port), 'good');
  await sleep(4500); // two more looks
  const refusals = logged.filter((line) => line.includes('the one before stays'));
  assert.equal(refusals.length, 1);
  assert.match(refusals[0] ?? '', /^error .*"code":"certificate-expired".*"servedUntil":"20/);
  assert.equal(server.certificates().served.subject, 'CN=good');

  await put(newer.cert, newer.key);
  await within(5, async () => (await shown(server.port)) === 'newer');
  assert.equal(server.certificates().refused, undefined);
});

test('where the one that is served ends itself, whatever stands in the files is served', async (t) => {
  const made = await temporaryFolder(t);
  const authority = await makeAuthority(made, 'authority');
  const [good, old] = await Promise.all([
    authority.sign('good', 'IP:127.0.0.1', 1),
    authority.sign('old', 'IP:127.0.0.1', -1),
  ]);
  const { files, put } = await secretFolder(t);
  const { log, logged } = kept();
  let ahead = 0;
  const clock = { now: () => new Date(Date.now() + ahead) };
  await put(good.cert, good.key);
  const server = await startServer({ routes: [], tls: files, host: '127.0.0.1', port: 0, log, clock });
  t.after(() => server.close(0));
  ahead = 20 * 3600_000;
  await within(5, () => logged.some((line) => /^warn .*expires soon.*certificate-expires-soon/.test(line)));
  await put(old.cert, old.key);
  await within(5, () => server.certificates().refused !== undefined);
  assert.equal(await shown(server.port), 'good');
  ahead = 25 * 3600_000;
  await within(5, async () => (await shown(server.port)) === 'old');
  await within(5, () => logged.some((line) => /^error the TLS certificate has expired/.test(line)));
});

test('a server does not start with a pair that is none', async (t) => {
  const made = await temporaryFolder(t);
  const [one, other] = await Promise.all([selfSigned(made, 'one'), selfSigned(made, 'other')]);
  const log: Logger = { debug() {}, info() {}, warn() {}, error() {} };
  const options = { routes: [], host: '127.0.0.1', port: 0, log };
  await assert.rejects(startServer({ ...options, tls: { cert: one.cert, key: other.key } }), /key values mismatch/);
  await assert.rejects(startServer({ ...options, tls: { cert: join(made, 'none'), key: one.key } }), /ENOENT/);
});
