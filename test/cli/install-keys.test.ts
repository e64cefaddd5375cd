// The keys of an installation: certificates that OpenSSL takes, renewed in time, rotated in two steps, in a folder that is
// nobody else's.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmod, chown, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect, createServer } from 'node:tls';
import { promisify } from 'node:util';
import { openKeyFolder } from '../../cli/install/key-folder.ts';
import { selfManagedTls, type Tls } from '../../cli/install/tls.ts';
import { cli, type Ran } from '../helpers/cli.ts';
import { needs } from '../helpers/component.ts';
import { needsRoot } from '../helpers/small-disk.ts';
import { fill, temporaryFolder } from '../helpers/temporary.ts';

const execute = promisify(execFile);
const HOST = 'impound-controller.impound-system.svc';
const DAY = 24 * 3600 * 1000;
const NOW = new Date('2026-11-21T12:00:00Z');
const after = (days: number): Date => new Date(NOW.getTime() + days * DAY);

interface Asked {
  readonly at?: Date;
  readonly renew?: boolean;
  readonly rotate?: boolean;
}

/** A folder, and what its keys are on a day. */
async function keysOf(t: TestContext) {
  const path = join(await temporaryFolder(t), 'keys');
  const tls = async ({ at = NOW, renew = false, rotate = false }: Asked = {}): Promise<Tls> =>
    selfManagedTls({ folder: await openKeyFolder(path), host: HOST, renew, rotate, clock: { now: () => at } });
  return { path, tls };
}

async function openssl(...words: readonly string[]): Promise<string> {
  return (await execute('openssl', words)).stdout;
}

/** As an agent would, with these authorities: throws where it would not connect. */
async function verified(t: TestContext, { certificate }: Tls, authorities: string, at = NOW): Promise<void> {
  const folder = await temporaryFolder(t);
  await fill(folder, { 'ca.crt': authorities, 'tls.crt': certificate });
  const time = String(Math.floor(at.getTime() / 1000));
  const words = ['-x509_strict', '-purpose', 'sslserver', '-verify_hostname', HOST, '-attime', time];
  await openssl('verify', ...words, '-CAfile', join(folder, 'ca.crt'), join(folder, 'tls.crt'));
}

const count = (pem: string): number => pem.match(/BEGIN CERTIFICATE/g)?.length ?? 0;

test('OpenSSL takes authority and certificate, strictly, for what they are and nothing else', async (t) => {
  if (!needs(t, 'openssl')) return;
  const { path, tls } = await keysOf(t);
  const made = await tls();
  await verified(t, made, made.authorities);
  await assert.rejects(verified(t, made, made.authorities, after(366)), /certificate has expired/);
  const print = (file: string): Promise<string> => openssl('x509', '-noout', '-text', '-in', join(path, file));
  const authority = await print('ca.crt');
  assert.match(authority, /Basic Constraints: critical\s+CA:TRUE, pathlen:0\n/);
  assert.match(authority, /Key Usage: critical\s+Certificate Sign\n/);
  assert.match(authority, /ASN1 OID: prime256v1/);
  const server = await print('tls.crt');
  assert.match(server, /Basic Constraints: critical\s+CA:FALSE\n/);
  assert.match(
    server,
    /Key Usage: critical\s+Digital Signature\n\s+X509v3 Extended Key Usage: \s+TLS Web Server Authentication\n/,
  );
  assert.match(server, new RegExp(`Subject Alternative Name: \\s+DNS:${HOST}\n`));
  const { validFrom, validTo } = new X509Certificate(await readFile(join(path, 'ca.crt')));
  const years = (Date.parse(validTo) - Date.parse(validFrom)) / (365 * DAY);
  assert.ok(Math.abs(years - 10) < 0.01, `${years} years`);
  assert.equal(made.until.toISOString(), after(365).toISOString());
});

test('a TLS server and a client of Node agree by them', async (t) => {
  const { tls } = await keysOf(t);
  const { certificate, key, authorities } = await tls({ at: new Date() });
  const server = createServer({ cert: certificate, key }, (socket) => socket.end('yes')).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  const socket = connect({ port, host: '127.0.0.1', servername: HOST, ca: authorities });
  const said = await new Promise<string>((resolve, reject) => {
    socket.on('error', reject).on('data', (chunk: Buffer) => resolve(chunk.toString()));
  });
  assert.equal(said, 'yes');
});

test('years beyond 2049 are written as RFC 5280 wants them', async (t) => {
  if (!needs(t, 'openssl')) return;
  const { path, tls } = await keysOf(t);
  await tls({ at: new Date('2045-02-01T00:00:00Z') });
  assert.match(
    await openssl('x509', '-noout', '-dates', '-in', join(path, 'ca.crt')),
    /notAfter=Jan 30 00:00:00 2055 GMT/,
  );
});

test('the certificate is the same until a third of its time is left, and then another of the same authority', async (t) => {
  const { tls } = await keysOf(t);
  const first = await tls();
  assert.equal(first.made.length, 2);
  const later = await tls({ at: after(240) });
  assert.deepEqual([later.certificate, later.key, later.made], [first.certificate, first.key, []]);
  const renewed = await tls({ at: after(245) });
  assert.notEqual(renewed.certificate, first.certificate);
  assert.notEqual(renewed.key, first.key);
  assert.equal(renewed.authorities, first.authorities);
  assert.match(renewed.made.join(), /^the controller's certificate \(until 2028-07-2/);
  const forced = await tls({ at: after(246), renew: true });
  assert.notEqual(forced.certificate, renewed.certificate);
});

test('a new authority: agents know both before a replica shows a certificate of it', async (t) => {
  if (!needs(t, 'openssl')) return;
  const { tls } = await keysOf(t);
  const old = await tls();
  // step one: both are trusted, the certificate is the same
  const both = await tls({ rotate: true });
  assert.equal(count(both.authorities), 2);
  assert.ok(both.authorities.endsWith(old.authorities));
  assert.equal(both.certificate, old.certificate);
  assert.match(both.advice.join(), /render again with --renew/);
  await verified(t, old, both.authorities);
  assert.equal((await tls()).authorities, both.authorities);
  // a second one would leave the replicas with a certificate that nobody trusts
  await assert.rejects(tls({ rotate: true }), /still of the authority before/);
});

test('a new authority: the next renewal is of it, and the old one goes when somebody says so', async (t) => {
  if (!needs(t, 'openssl')) return;
  const { path, tls } = await keysOf(t);
  const old = await tls();
  const both = await tls({ rotate: true });
  const renewed = await tls({ renew: true });
  assert.equal(renewed.authorities, both.authorities);
  await verified(t, renewed, both.authorities);
  await assert.rejects(verified(t, renewed, old.authorities), /unable to get local issuer/);
  assert.match(renewed.advice.join(), /agents still trust the authority before/);
  await rm(join(path, 'ca.previous.crt'));
  const alone = await tls();
  assert.equal(count(alone.authorities), 1);
  assert.deepEqual([alone.certificate, alone.advice], [renewed.certificate, []]);
  await verified(t, alone, alone.authorities);
  // and the next rotation
  assert.equal(count((await tls({ rotate: true })).authorities), 2);
});

test('an authority near its end says so, and signs nothing that outlives it', async (t) => {
  const { tls } = await keysOf(t);
  await tls();
  const near = await tls({ at: after(3600) });
  assert.equal(near.until.toISOString(), after(3650).toISOString());
  assert.match(near.advice.join(), /the authority ends on .*--rotate-ca/);
  await assert.rejects(tls({ at: after(3651) }), /the authority ended on .*--rotate-ca/);
  // nobody trusts the old one any more, so that there is no first step
  const next = await tls({ at: after(3651), rotate: true });
  assert.deepEqual([count(next.authorities), next.made.length], [1, 2]);
});

test('what a crash or a hand left half-changed is made whole, or said', async (t) => {
  const { path, tls } = await keysOf(t);
  const first = await tls();
  const other = await keysOf(t);
  await other.tls();
  const foreign = (name: string): Promise<string> => readFile(join(other.path, name), 'utf8');
  // of a server's pair the one file is new
  await writeFile(join(path, 'tls.key'), await foreign('tls.key'));
  const mended = await tls();
  assert.notEqual(mended.certificate, first.certificate);
  assert.equal(mended.authorities, first.authorities);
  // of the authority's pair: as a crash in --rotate-ca leaves it
  await writeFile(join(path, 'ca.previous.crt'), first.authorities);
  await writeFile(join(path, 'ca.key'), await foreign('ca.key'));
  await assert.rejects(tls(), /ca.key is not the key of ca.crt: .*--rotate-ca/);
  const rotated = await tls({ rotate: true });
  assert.equal(count(rotated.authorities), 2);
  assert.equal(rotated.certificate, mended.certificate);
  await rm(join(path, 'ca.key'));
  await assert.rejects(tls(), /of ca.key and ca.crt one is not there/);
  await writeFile(join(path, 'ca.key'), 'no key', { mode: 0o600 });
  await assert.rejects(tls(), /is not PEM that can be read/);
  assert.deepEqual(
    (await readdir(path)).filter((name) => name.endsWith('.new')),
    [],
  );
});

test('a folder that somebody else may read is refused, and so is a file', async (t) => {
  const home = await temporaryFolder(t);
  const keys = join(home, 'keys');
  const images = ['--registry', 'registry.example.com', '--tag', '1'];
  const store = ['--store', 's3://evidence', '--region', 'eu-central-1'];
  const render = (): Promise<Ran> =>
    cli(['install', '--render', '--cluster', 'lab', ...images, ...store, '--keys', keys], { home });
  await mkdir(keys, { mode: 0o750 });
  const open = await render();
  assert.equal(open.code, 2);
  assert.match(open.stderr, /keys has mode 0750, .*chmod 700 .* \[key-unsuitable\]/);
  assert.deepEqual([open.stdout, await readdir(keys)], ['', []]);
  await chmod(keys, 0o700);
  assert.equal((await render()).code, 0);
  for (const file of ['ca.key', 'tls.key', 'signing.pem']) {
    await chmod(join(keys, file), 0o640);
    const ran = await render();
    assert.match(ran.stderr, new RegExp(`${file} has mode 0640, .*chmod 600 .* \\[key-unsuitable\\]`));
    assert.equal(ran.stdout, '');
    await chmod(join(keys, file), 0o600);
  }
  await rm(keys, { recursive: true });
  await writeFile(keys, '');
  assert.match((await render()).stderr, /cannot be made: .*--keys DIR \[key-unwritable\]/);
});

test("another user's folder is refused", { skip: needsRoot }, async (t) => {
  const folder = await temporaryFolder(t);
  await chown(folder, 65534, 65534);
  await assert.rejects(openKeyFolder(folder), /belongs to user 65534, not to you \(0\)/);
});
