// The uploader that speaks granted URLs only, against a real server, through faults, and gone in the middle.
import assert from 'node:assert/strict';
import { fork, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { beginBundle, recoverBundle } from '../../../evidence/custody/bundle.ts';
import { readChain } from '../../../evidence/custody/chain-reader.ts';
import { records } from '../../../evidence/format/coverage.ts';
import { bundleId } from '../../../evidence/id.ts';
import { S3Bucket } from '../../../evidence/store/s3/bucket.ts';
import { s3Client } from '../../../evidence/store/s3/client.ts';
import { bucketGrants } from '../../../evidence/store/s3/presigned-grants.ts';
import { S3Store } from '../../../evidence/store/s3/store.ts';
import { readWhole } from '../../../evidence/store/store.ts';
import type { UploadGrants } from '../../../evidence/store/upload/grants.ts';
import { type Uploader, uploader } from '../../../evidence/store/upload.ts';
import { verifyBundle } from '../../../evidence/verify/verify.ts';
import { custodyOf, newSigner } from '../../helpers/bundle.ts';
import { needs } from '../../helpers/component.ts';
import { folderWith } from '../../helpers/temporary.ts';
import type { Fault } from '../../testbed/fault-exchange.ts';
import { type FaultProxy, startProxy } from '../../testbed/fault-proxy.ts';
import { S3_COMPONENTS, startS3 } from '../../testbed/s3.ts';

const MIB = 1024 ** 2;
const PART = 16 * MIB;
const PATH = 'data/00-meta/a.bin';
const PREFIX = 'store/one';
const UPLOAD = import.meta.resolve('../../../evidence/store/upload.ts');
const RETENTION = { mode: 'COMPLIANCE', days: 1 } as const;

interface Uploading {
  readonly proxy: FaultProxy;
  readonly grants: UploadGrants;
  readonly up: Uploader;
  /** The same objects, with credentials and without the proxy. */
  readonly store: S3Store;
  /** An uploader with other grants. */
  with(other: Partial<UploadGrants>, milliseconds?: number): Uploader;
  /** Of the bodies that were sent. */
  puts(path: string): readonly string[];
}

/** URLs lead through the proxy, but where it would be in the way. */
async function uploading(t: TestContext, direct = false): Promise<Uploading> {
  const s3 = await startS3(t);
  await s3.makeBucket({ name: 'evidence', objectLock: true });
  const proxy = await startProxy(t, s3.endpoint);
  const { endpoint, region, accessKeyId, secretAccessKey } = s3;
  const access = { region, credentials: { accessKeyId, secretAccessKey } };
  const client = s3Client({ ...access, endpoint: direct ? endpoint : proxy.endpoint });
  t.after(() => client.destroy());
  const bucket = new S3Bucket({ client, bucket: 'evidence', protection: { retention: RETENTION } });
  const grants = bucketGrants({ bucket, prefix: PREFIX });
  const withGrants = (other: Partial<UploadGrants>, milliseconds = 20_000): Uploader => {
    const made = uploader({ grants: { ...grants, ...other }, patience: { milliseconds } });
    t.after(() => made.close());
    return made;
  };
  return {
    proxy,
    grants,
    up: withGrants({}),
    store: new S3Store({ bucket: 'evidence', prefix: PREFIX, endpoint, ...access }),
    with: withGrants,
    puts: (path) =>
      proxy.seen.filter(({ method, target }) => method === 'PUT' && target.includes(path)).map(({ target }) => target),
  };
}

const hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function upload(up: Uploader, path: string, bytes: Uint8Array) {
  const writer = await up.create(path);
  try {
    for (let start = 0; start < bytes.length; start += MIB) await writer.write(bytes.subarray(start, start + MIB));
    return await writer.commit();
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

/** What a network and S3 do, and how many bodies of that piece go out until it is stored. */
const FAULTS: Readonly<Record<string, readonly [Fault, number]>> = {
  lost: [{ kind: 'lose-response' }, 1],
  'cut-answer': [{ kind: 'cut-response', bytes: 0 }, 1],
  internal: [{ kind: 'answer', status: 500, code: 'InternalError' }, 2],
  slow: [{ kind: 'answer', status: 503, code: 'SlowDown' }, 2],
  unheard: [{ kind: 'cut-request', bytes: 0 }, 2],
  'half-body': [{ kind: 'cut-request', bytes: 300_000 }, 2],
  delay: [{ kind: 'delay', milliseconds: 200 }, 1],
  throttle: [{ kind: 'throttle', bytesPerSecond: 4 * MIB }, 1],
};

test('an object of one piece comes through every fault, once, and is seen in the store before it is recorded', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { proxy, grants, store, puts, with: other } = await uploading(t);
  let granted = 0;
  const up = other({
    grantObject(claim) {
      granted++;
      return grants.grantObject(claim);
    },
  });
  const bytes = randomBytes(600_000);
  for (const [name, [fault, sent]] of Object.entries(FAULTS)) {
    const path = `data/00-meta/${name}`;
    proxy.add({ method: 'PUT', target: new RegExp(`${path}\\?`), fault });
    granted = 0;
    const stored = await upload(up, path, bytes);
    assert.equal(stored.sha256, hex(bytes), name);
    assert.ok(stored.versionId && stored.etag, name);
    const last = proxy.seen.at(-1);
    assert.deepEqual([last?.method, last?.status], ['HEAD', 200], name);
    // each try has a URL of its own
    assert.deepEqual([granted, puts(path).length], [sent, sent], name);
    assert.equal(hex(await readWhole(store, path, MIB)), stored.sha256, name);
  }
  const all = await Array.fromAsync(store.list());
  assert.equal(all.length, Object.keys(FAULTS).length);
  assert.ok(all.every(({ size, later }) => size === bytes.length && later === undefined));
});

test('no part is lost and none is doubled, whatever becomes of one', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { proxy, up, store, puts } = await uploading(t);
  const bytes = randomBytes(PART + 1_500_000);
  const parts = [0, PART].map((start) => bytes.subarray(start, start + PART));
  for (const [name, [fault, sent]] of Object.entries(FAULTS)) {
    const path = `data/00-meta/${name}`;
    proxy.add({ method: 'PUT', target: new RegExp(`${path}\\?.*partNumber=2`), fault });
    const stored = await upload(up, path, bytes);
    const expected = parts.map((part) => ({ size: part.length, sha256: hex(part) }));
    assert.deepEqual([stored.sha256, stored.parts], [hex(bytes), expected], name);
    const numbers = puts(path).map((target) => /partNumber=(\d+)/.exec(target)?.[1]);
    assert.deepEqual(numbers.sort(), ['1', ...Array<string>(sent).fill('2')], name);
    assert.equal(hex(await readWhole(store, path, 2 * PART)), stored.sha256, name);
  }
  assert.deepEqual(await Array.fromAsync(store.unfinished()), []);
});

test('a completion whose answer was lost, to the signing side or to the uploader, is not done twice', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { proxy, grants, store, with: other } = await uploading(t);
  proxy.add({ method: 'POST', target: /uploadId=/, fault: { kind: 'lose-response' } });
  const twice = other({
    async completeUpload(...asked) {
      await grants.completeUpload(...asked);
      return grants.completeUpload(...asked);
    },
  });
  const bytes = randomBytes(PART + 1);
  const stored = await upload(twice, PATH, bytes);
  assert.equal(stored.sha256, hex(bytes));
  assert.deepEqual(await Array.fromAsync(store.list()), [{ path: PATH, kind: 'file', size: PART + 1 }]);
});

test('what is refused is refused at once, with what to do', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { proxy, up, puts, grants, with: other } = await uploading(t);
  const answers = [
    [{ status: 403, code: 'AccessDenied' }, 'store-denied'],
    [{ status: 403, code: 'RequestTimeTooSkewed' }, 'store-clock'],
    [{ status: 400, code: 'InvalidArgument' }, 'store-failed'],
    [{ status: 412, code: 'PreconditionFailed' }, 'object-exists'],
  ] as const;
  for (const [answer, code] of answers) {
    const path = `data/00-meta/${answer.code}`;
    proxy.add({ method: 'PUT', target: new RegExp(path), fault: { kind: 'answer', ...answer } });
    const error = await upload(up, path, Buffer.from('evidence')).catch((cause: unknown) => cause);
    assert.equal((error as { code?: string }).code, code);
    assert.doesNotMatch(String(error), /Signature/);
    assert.equal(puts(path).length, 1);
  }
  await assert.rejects(up.create('../a'), { code: 'path-invalid' });
  await assert.rejects(upload(up, 'custody/000000.dsse.json', Buffer.from('x')), { code: 'grant-refused' });
  // what is not seen in the store was not stored
  const blind = other({ finished: async () => undefined });
  await assert.rejects(upload(blind, 'data/00-meta/unseen', Buffer.from('x')), { code: 'store-failed' });
  const dead = other(
    { grantObject: async (claim) => ({ ...(await grants.grantObject(claim)), url: 'http://127.0.0.1:9/x' }) },
    300,
  );
  await assert.rejects(upload(dead, 'data/00-meta/dead', Buffer.from('x')), { code: 'store-unreachable' });
});

test('a path that is taken stays as it is, with a small object and with a large one', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { proxy, up, store } = await uploading(t);
  await store.put(PATH, Buffer.from('first'));
  for (const size of [5, 8 * MIB, PART + 1])
    await assert.rejects(upload(up, PATH, randomBytes(size)), { code: 'object-exists' }, String(size));
  // the refusal itself was lost
  proxy.add({ method: 'PUT', target: /a\.bin/, fault: { kind: 'lose-response' } });
  await assert.rejects(upload(up, PATH, randomBytes(MIB)), { code: 'object-exists' });
  assert.equal((await readWhole(store, PATH, 100)).toString(), 'first');
});

/** Writes without end, and asks its parent for every grant. */
const CHILD = `
import { uploader } from ${JSON.stringify(UPLOAD)};
const open = new Map();
process.on('message', ({ id, answer }) => open.get(id)(answer));
const ask = (name, given) => new Promise((resolve) => process.send({ id: open.set(open.size, resolve).size - 1, name, given }));
const grants = new Proxy({}, { get: (_, name) => (...given) => ask(name, given) });
const writer = await uploader({ grants }).create(${JSON.stringify(PATH)});
for (let n = 0; ; n++) await writer.write(Buffer.alloc(${MIB}, n));
`;

interface Question {
  readonly id: number;
  readonly name: keyof UploadGrants;
  readonly given: readonly unknown[];
}

const ASKED = { requestedBy: 'tester', requestedAt: new Date().toISOString(), reason: null, case: null };
const REQUEST = { bundle: bundleId(new Date()), ...ASKED, node: 'here', profile: 'quick' };

test('an uploader killed in the middle leaves its contiguous parts, recorded as truncated', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { proxy, grants, store } = await uploading(t);
  const custody = custodyOf(store, newSigner());
  await beginBundle(custody, REQUEST);
  const folder = await folderWith(t, { 'child.mjs': CHILD });
  const child = fork(join(folder, 'child.mjs'));
  t.after(() => child.kill('SIGKILL'));
  const isStored = (number: number): boolean =>
    proxy.seen.some(({ target, status }) => target.includes(`partNumber=${number}&`) && status === 200);
  child.on('message', async ({ id, name, given }: Question) => {
    if (name === 'grantPart' && isStored(1) && isStored(2) && isStored(3)) return child.kill('SIGKILL');
    const ask = grants[name] as (...all: readonly unknown[]) => Promise<unknown>;
    const answer = await ask(...given);
    if (child.connected) child.send({ id, answer }, () => undefined);
  });
  await once(child, 'exit');
  await recoverBundle(custody, true);
  const report = await verifyBundle(store);
  assert.deepEqual([report.verdict, report.findings], ['intact', []]);
  const chain = await readChain(store);
  const record = records(chain.map(({ statement }) => statement)).find(({ path }) => path === PATH);
  assert.ok(record?.truncated && record.recovered && record.parts);
  assert.ok(record.parts.length >= 2 && record.size === record.parts.length * PART);
  t.diagnostic(`${record.parts.length} parts of an endless upload`);
  assert.equal(
    record.sha256,
    hex(Buffer.concat(Array.from({ length: record.size / MIB }, (_, n) => Buffer.alloc(MIB, n)))),
  );
});

test('a large object, or many at once, go out in a bounded memory', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const { up, store } = await uploading(t, true);
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const held = (): number => {
    collect();
    return process.memoryUsage().arrayBuffers;
  };
  const chunk = randomBytes(MIB);
  for (const [objects, size] of [
    [1, 256],
    [8, 24],
  ] as const) {
    held();
    await sleep(100); // what the tests before held is let go
    const [begun, before] = [performance.now(), held()];
    let most = 0;
    const write = async (path: string): Promise<string> => {
      const writer = await up.create(path);
      for (let n = 0; n < size; n++) {
        await writer.write(chunk);
        if (n % 4 === 0) most = Math.max(most, held() - before);
      }
      return (await writer.commit()).sha256;
    };
    const paths = Array.from({ length: objects }, (_, n) => `data/40-memory/${objects}-${n}`);
    const digests = await Promise.all(paths.map(write));
    const rate = (objects * size) / ((performance.now() - begun) / 1000);
    t.diagnostic(`${objects} of ${size} MiB: ${Math.round(rate)} MiB/s, ${Math.round(most / MIB)} MiB held`);
    assert.ok(most < 128 * MIB, `${objects}: ${most}`);
    for (const path of paths) assert.equal(await store.size(path), size * MIB);
    assert.equal(new Set(digests).size, 1);
  }
});

test('nothing of the AWS SDK is loaded to upload', () => {
  const script = `
import { registerHooks } from 'node:module';
registerHooks({ resolve(name, context, next) { if (/^@(aws-sdk|smithy)/.test(name)) throw new Error(name); return next(name, context); } });
await import(${JSON.stringify(UPLOAD)});
`;
  const { status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
  assert.equal(status, 0);
});
