// Time stamps of a real authority: taken during a capture, added later, and whatever is done to them is named.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { addTimestamps, stampCapture, stampEntry } from '../../evidence/custody/timestamp.ts';
import { requestTimestamp } from '../../evidence/custody/timestamp-request.ts';
import {
  beginBundle,
  bundleId,
  bundlePrefix,
  endBundle,
  readChain,
  type Store,
  type VerifyReport,
  verifyBundle,
} from '../../evidence/index.ts';
import { readAuthorities } from '../../evidence/verify/timestamp-authority.ts';
import {
  type BegunBundle,
  beginEmpty,
  custodyOf,
  makeBundle,
  newSigner,
  openStore,
  silentLog,
} from '../helpers/bundle.ts';
import { needs } from '../helpers/component.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { fileAuthority, startTimestampAuthority, type TimestampAuthority } from '../testbed/timestamp-authority.ts';

const execute = promisify(execFile);

const authority = await fileAuthority();

const GRANT = 'custody/000000.tsr';

test('grant and seal of a capture have tokens of the first authority that answers', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const { store, custody, chain, path } = await beginEmpty(await temporaryFolder(t));
  const urls = [authority.url('failing'), authority.url('normal')];
  const before = authority.asked();
  const stamps = stampCapture(store, chain, urls, silentLog);
  await stamps.beforeClose();
  const seal = await endBundle(custody, chain, { outcome: 'complete' });
  assert.deepEqual(await stamps.afterSeal(seal), seal);
  assert.equal(authority.asked() - before, 3, 'the seal goes straight to the one that answered');
  const report = await verifyBundle(store, { authorities: await readAuthorities(authority.file('root.pem')) });
  assert.deepEqual([report.verdict, report.findings, report.warnings], ['intact', [], []]);
  assert.deepEqual(
    report.timestamps.map(({ entry, authority: name }) => [entry, name]),
    [0, seal.sequence].map((entry) => [entry, 'O=Impound testbed, CN=signer']),
  );
  for (const { entry } of report.timestamps) {
    const name = join(path, 'custody', String(entry).padStart(6, '0'));
    const { stdout } = await execute('openssl', [
      ...['ts', '-verify', '-data', `${name}.dsse.json`, '-in', `${name}.tsr`],
      ...['-CAfile', authority.file('root.pem')],
    ]);
    assert.match(stdout, /Verification: OK/);
  }
});

test('without a trusted authority a token is only compared with its entry, and that is said', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const { store } = await stamped(t, authority);
  const report = await verifyBundle(store);
  assert.equal(report.verdict, 'intact');
  assert.deepEqual(report.timestamps, []);
  assert.deepEqual(codes(report.warnings), [['timestamp-unchecked', GRANT]]);
});

test('an authority that leads to none of those trusted is a finding, whichever of its own is given suffices', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const { store } = await stamped(t, authority);
  const stranger = await startTimestampAuthority(t);
  const report = await verifyWith(store, stranger.file('root.pem'));
  assert.deepEqual(codes(report.findings), [['timestamp-untrusted', GRANT]]);
  assert.match(report.findings[0]?.message ?? '', /vouches/);
  for (const name of ['root.pem', 'intermediate.pem', 'signer.pem']) {
    assert.deepEqual((await verifyWith(store, authority.file(name))).findings, [], name);
  }
});

test('RSA and SHA-512 are verified as ECDSA and SHA-256 are', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const rsa = await startTimestampAuthority(t, { key: 'rsa', digest: 'sha512' });
  const { store } = await stamped(t, rsa);
  assert.equal((await verifyWith(store, rsa.file('root.pem'))).timestamps.length, 1);
});

test('a certificate that was not valid at the time of the token makes it untrusted', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const expired = await startTimestampAuthority(t, { expired: true });
  const { store } = await stamped(t, expired);
  const report = await verifyWith(store, expired.file('root.pem'));
  assert.deepEqual(codes(report.findings), [['timestamp-untrusted', GRANT]]);
  assert.match(report.findings[0]?.message ?? '', /not valid at/);
});

test('where no authority answers a note says which were tried, and a later one adds the tokens', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const { store, custody, chain } = await beginEmpty(await temporaryFolder(t));
  const gone = await startTimestampAuthority(t);
  const tried = [authority.url('refusing'), gone.url('normal')];
  await gone.stop();
  const stamps = stampCapture(store, chain, tried, silentLog, { seconds: 2 });
  await stamps.beforeClose();
  const seal = await endBundle(custody, chain, { outcome: 'complete' });
  const newest = await stamps.afterSeal(seal);
  assert.equal(newest.sequence, seal.sequence + 1);
  const notes = (await readChain(store)).map(({ statement }) => statement.predicate);
  for (const [sequence, entry] of [
    [1, 0],
    [newest.sequence, seal.sequence],
  ] as const) {
    assert.equal(notes[sequence]?.action, 'note');
    const { tried: told, ...details } = notes[sequence]?.details ?? {};
    assert.deepEqual(details, { reason: 'tsa-unavailable', entry });
    assert.deepEqual(
      (told as readonly { url: string }[]).map(({ url }) => url),
      tried,
    );
    assert.match(JSON.stringify(told), /it refused: rejected: .*ECONNREFUSED/);
  }
  assert.deepEqual((await verifyBundle(store)).findings, []);

  const added = await addTimestamps(custody, [authority.url('normal')]);
  assert.deepEqual(
    added.stamps.map(({ entry }) => entry),
    [0, seal.sequence, newest.sequence],
  );
  const again = await addTimestamps(custody, [authority.url('normal')]);
  assert.deepEqual([again.stamps, again.head], [[], added.head]);
  const report = await verifyWith(store, authority.file('root.pem'));
  assert.deepEqual([report.verdict, report.warnings], ['intact', []]);
  assert.equal(report.timestamps.length, 3);
});

test('a note between close and seal, and tokens while others append, leave the chain whole', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const { store, custody, chain } = await beginEmpty(await temporaryFolder(t));
  const notes = Promise.all([1, 2, 3].map(() => stampEntry(store, chain, 0, [authority.url('failing')])));
  await endBundle(custody, chain, { outcome: 'complete' });
  await notes;
  const closing = await beginEmpty(await temporaryFolder(t));
  await closing.chain.append('close', { outcome: 'complete', software: 'Impound test' });
  await stampEntry(closing.store, closing.chain, 0, [authority.url('failing')]);
  await closing.chain.append('note', {});
  for (const each of [store, closing.store]) assert.deepEqual((await verifyBundle(each)).findings, []);
});

test('a token that the chain names must be there, and be that one', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const { store, path, custody } = await makeBundle(await temporaryFolder(t));
  await addTimestamps(custody, [authority.url('normal')]);
  const other = await requestTimestamp(authority.url('normal'), await readFile(join(path, 'custody/000000.dsse.json')));
  const token = join(path, GRANT);
  const own = await readFile(token);
  await writeFile(token, other.bytes);
  const replaced = await verifyWith(store, authority.file('root.pem'));
  assert.deepEqual(codes(replaced.findings), [['timestamp-altered', GRANT]]);
  await rm(token);
  assert.deepEqual(codes((await verifyBundle(store)).findings), [['timestamp-missing', GRANT]]);
  await writeFile(token, own);
  assert.deepEqual((await verifyBundle(store)).findings, []);
});

test('a clock that differs from the authority by more than minutes is a warning', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  for (const hours of [-1, 1]) {
    const bundle = bundleId(new Date());
    const store = openStore(await temporaryFolder(t), bundlePrefix(undefined, undefined, bundle));
    const clock = { now: () => new Date(Date.now() + hours * 3_600_000) };
    const request = { bundle, requestedBy: 'tester', requestedAt: '', reason: null, case: null, node: '', profile: '' };
    const chain = await beginBundle({ ...custodyOf(store, newSigner()), clock }, request);
    await stampEntry(store, chain, 0, [authority.url('normal')]);
    const report = await verifyWith(store, authority.file('root.pem'));
    assert.deepEqual([codes(report.warnings), report.timestamps.length], [[['clock', GRANT]], 1]);
  }
});

test('on an unsealed bundle only a key of its chain may sign the entry', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const { store } = await makeBundle(await temporaryFolder(t), undefined, { seal: false });
  const before = authority.asked();
  await assert.rejects(addTimestamps(custodyOf(store, newSigner()), [authority.url('normal')]), {
    code: 'key-unsuitable',
  });
  assert.equal(authority.asked(), before);
});

/** A sealed bundle whose grant has a token. */
async function stamped(t: TestContext, by: TimestampAuthority): Promise<BegunBundle> {
  const begun = await beginEmpty(await temporaryFolder(t));
  await stampEntry(begun.store, begun.chain, 0, [by.url('normal')]);
  await endBundle(begun.custody, begun.chain, { outcome: 'complete' });
  return begun;
}

async function verifyWith(store: Store, certificates: string): Promise<VerifyReport> {
  return verifyBundle(store, { authorities: await readAuthorities(certificates) });
}

function codes(found: readonly { readonly code: string; readonly path: string }[]): readonly (readonly string[])[] {
  return found.map(({ code, path }) => [code, path]);
}
