// Captures into S3 that end badly: killed at random moments, sealed by somebody else while they run, or cut off from the
// store on their way.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import {
  bundleId,
  ChainWriter,
  type Custody,
  REQUEST,
  readPublicKey,
  recoverBundle,
  verifyBundle,
} from '../../evidence/index.ts';
import type { S3Store } from '../../evidence/store/s3/store.ts';
import { custodyOf, newSigner } from '../helpers/bundle.ts';
import { cli, cliCommand, type Ran, startCli } from '../helpers/cli.ts';
import { needs } from '../helpers/component.ts';
import { EVIDENCE, s3StoreOf, writeAwsFiles } from '../helpers/s3.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { startProxy } from '../testbed/fault-proxy.ts';
import { type S3, S3_COMPONENTS, startS3 } from '../testbed/s3.ts';

const ROUNDS = process.env.IMPOUND_SOAK === undefined ? 6 : 20;

interface Site {
  readonly s3: S3;
  readonly home: string;
}

async function site(t: TestContext): Promise<Site> {
  const [s3, home] = [await startS3(t), await temporaryFolder(t)];
  await s3.makeBucket({ name: EVIDENCE, objectLock: true });
  await writeAwsFiles(home, s3);
  return { s3, home };
}

function capture(prefix: string, endpoint: string, more: readonly string[]): readonly string[] {
  const place = ['--store', `s3://${EVIDENCE}/${prefix}`, '--endpoint', endpoint];
  return ['capture', '--local', ...place, '--profile', 'quick', ...more];
}

test(`a capture into S3 killed at ${ROUNDS} random moments can be sealed, and loses nothing that was stored`, async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { s3, home } = await site(t);
  const recipient = await identityToRecipient(await generateX25519Identity());
  const endings: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const secrecy = round % 2 === 0 ? ['--encryption', 'none'] : ['--recipient', recipient];
    const child = startCli(capture(`round${round}`, s3.endpoint, secrecy), { home });
    drain(child);
    const bundle = await begun(s3, `round${round}`, child);
    const wait = Math.random() * 1500;
    await sleep(wait);
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    endings.push(`${secrecy[0]} +${Math.round(wait)} ms: ${await examine(bundle, s3, home)}`);
  }
  t.diagnostic(endings.join(', '));
});

/** Killed in its first moments it has no entry, and is no bundle yet: that is waited for here. */
async function begun(s3: S3, prefix: string, child: ChildProcess): Promise<string> {
  const store = s3StoreOf(s3, prefix);
  for (let tries = 0; tries < 2000 && child.exitCode === null; tries++) {
    for await (const { path } of store.list()) {
      const found = /^(.*)\/custody\/000000\.dsse\.json$/.exec(path);
      if (found) return `s3://${EVIDENCE}/${prefix}/${found[1]}`;
    }
    await sleep(20);
  }
  return assert.fail(`no bundle below ${prefix}: the capture ended with ${child.exitCode}`);
}

async function examine(bundle: string, s3: S3, home: string): Promise<string> {
  const open = (): S3Store => s3StoreOf(s3, bundle.slice(`s3://${EVIDENCE}/`.length));
  const trusted = [await readPublicKey(join(home, 'impound/signing.pem.pub'))];
  const killed = await verifyBundle(open(), { trusted });
  assert.deepEqual(killed.findings, []);
  if (killed.verdict === 'intact') return 'sealed already';
  assert.equal(killed.verdict, 'unsealed');
  const sealed = await cli(['seal', bundle, '--endpoint', s3.endpoint], { home });
  assert.equal(sealed.code, 0, sealed.stderr);
  const { verdict, findings, warnings, files, signer } = await verifyBundle(open(), { trusted });
  assert.deepEqual([verdict, findings, warnings, signer.trusted], ['intact', [], [], true]);
  assert.deepEqual(await Array.fromAsync(open().unfinished()), []);
  return `sealed by "seal" with ${files} files, ${/\d+ of them recovered, \d+/.exec(sealed.stdout)?.[0]} cut off`;
}

interface Report {
  readonly verdict: string;
  readonly files: number;
  readonly findings: readonly unknown[];
  readonly warnings: readonly unknown[];
}

async function verified({ stdout, stderr }: Ran): Promise<Report> {
  assert.ok(stdout.startsWith('{'), stderr);
  return JSON.parse(stdout) as Report;
}

function drain(child: ChildProcess): Promise<string> {
  const text: Buffer[] = [];
  child.stdout?.resume();
  child.stderr?.on('data', (chunk: Buffer) => text.push(chunk));
  return once(child, 'close').then(() => Buffer.concat(text).toString());
}

test('a bundle is not sealed while its capture runs on this machine, whatever is said', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { s3, home } = await site(t);
  const child = startCli([...capture('busy', s3.endpoint, ['--encryption', 'none']), '--verify'], { home });
  const ended = drain(child);
  const bundle = await begun(s3, 'busy', child);
  child.kill('SIGSTOP');
  for (const more of [[], ['--abandoned']]) {
    const { code, stderr } = await cli(['seal', bundle, '--endpoint', s3.endpoint, ...more], { home });
    assert.equal(code, 2);
    assert.match(stderr, /still running \(pid \d+\).*\[bundle-busy\]/);
  }
  child.kill('SIGCONT');
  assert.equal(await ended.then(() => child.exitCode), 0);
});

test('a capture whose bundle somebody seals from elsewhere ends, and the bundle verifies', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { s3, home } = await site(t);
  // with PIDs of its own it is to this machine as one that runs on another
  const slow = await startProxy(t, s3.endpoint);
  slow.add({ target: /\/data\//, times: Number.POSITIVE_INFINITY, fault: { kind: 'delay', milliseconds: 300 } });
  const words = cliCommand(capture('elsewhere', slow.endpoint, ['--encryption', 'none', '--key', await madeKey(home)]));
  const env = { PATH: process.env.PATH, HOME: home, XDG_CONFIG_HOME: home };
  const child = spawn('unshare', ['--fork', '--pid', '--mount-proc', '--kill-child', ...words], { env });
  t.after(() => child.kill('SIGKILL'));
  const ended = drain(child);
  const bundle = await begun(s3, 'elsewhere', child);
  const run = (...more: readonly string[]): Promise<Ran> => cli([...more, '--endpoint', s3.endpoint], { home });
  const forced = await run('seal', bundle, '--abandoned');
  assert.equal(forced.code, 0, forced.stderr);
  assert.match(await ended, /another process has .* this bundle.*\[bundle-sealed\]/);
  assert.equal(child.exitCode, 2);
  assert.deepEqual((await verified(await run('verify', bundle, '--json'))).findings, []);
});

async function madeKey(home: string): Promise<string> {
  const file = join(home, 'impound/signing.pem');
  const { code, stderr } = await cli(['keygen', file], { home });
  assert.equal(code, 0, stderr);
  return file;
}

test('a bundle of a machine that is gone can be sealed when its chain has been silent, or somebody says so', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { s3 } = await site(t);
  const signer = newSigner();
  const later = { now: () => new Date(Date.now() + 11 * 60_000) };
  for (const how of ['silent', 'said'] as const) {
    const store = s3StoreOf(s3, how);
    await beginElsewhere(custodyOf(store, signer));
    await store.put('data/10-process/left.bin', Buffer.from('left'));
    const custody = custodyOf(s3StoreOf(s3, how), signer);
    await assert.rejects(recoverBundle(custody), { code: 'bundle-busy', message: /^elsewhere wrote to it \d+ s ago/ });
    if (how === 'silent') await recoverBundle({ ...custody, clock: later });
    else await recoverBundle(custody, true);
    const { verdict, findings } = await verifyBundle(s3StoreOf(s3, how));
    assert.deepEqual([verdict, findings], ['intact', []]);
  }
});

/** The grant of a capture on a machine of which nothing is known here. */
async function beginElsewhere(custody: Custody): Promise<void> {
  const request = Buffer.from('{}');
  const chain = new ChainWriter({ ...custody, bundle: bundleId(new Date()), entries: [] });
  await custody.store.put(`custody/keys/${custody.signer.keyid}.pem`, Buffer.from(custody.signer.publicKeyPem));
  await custody.store.put(REQUEST, request);
  const holder = { pid: process.pid, startTicks: '1', bootId: 'another', pidNamespace: 'pid:[1]', node: 'elsewhere' };
  const { kind, keyid } = custody.signer;
  const sizes = { [REQUEST]: request.length };
  const subject = { name: REQUEST, digest: { sha256: createHash('sha256').update(request).digest('hex') } };
  await chain.append('grant', { encryption: 'none', signer: kind, keyid, sizes, holder }, { subjects: [subject] });
}

test('a capture whose network fails now and then is whole', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { s3, home } = await site(t);
  const proxy = await startProxy(t, s3.endpoint);
  const faults = [
    { kind: 'cut-request', bytes: 100 },
    { kind: 'lose-response' },
    { kind: 'answer', status: 503, code: 'SlowDown' },
    { kind: 'answer', status: 500, code: 'InternalError' },
    { kind: 'half-response' },
    { kind: 'cut-response', bytes: 10 },
  ] as const;
  for (let nth = 5; nth < 300; nth += 5 + Math.floor(Math.random() * 10))
    proxy.add({ nth, fault: faults[Math.floor(Math.random() * faults.length)] ?? faults[0] });
  const ran = await cli([...capture('flaky', proxy.endpoint, ['--encryption', 'none']), '--json', '--verify'], {
    home,
  });
  const met = proxy.seen.filter(({ fault }) => fault !== undefined).length;
  t.diagnostic(`${met} of ${proxy.seen.length} requests failed`);
  assert.ok(met > 5);
  assert.equal(ran.code, 0, ran.stderr);
});
