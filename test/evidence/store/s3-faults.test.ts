// What networks and servers do to each kind of request: a capture to S3 either completes, or leaves a bundle that can be
// sealed and verifies; nothing is lost of what it named, nothing is doubled.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Collector } from '../../../capture/index.ts';
import { parsePublicKey } from '../../../evidence/custody/key.ts';
import {
  forEachBounded,
  ImpoundError,
  readChain,
  records,
  recoverBundle,
  verifyBundle,
} from '../../../evidence/index.ts';
import type { S3Store } from '../../../evidence/store/s3/store.ts';
import { artefact, collector, custodyOf, newSigner } from '../../helpers/bundle.ts';
import { missing, needs } from '../../helpers/component.ts';
import { captureInto, EVIDENCE, s3StoreOf } from '../../helpers/s3.ts';
import { timed } from '../../helpers/timed.ts';
import type { Fault } from '../../testbed/fault-exchange.ts';
import { type FaultProxy, type Rule, startProxy } from '../../testbed/fault-proxy.ts';
import { type S3, S3_COMPONENTS, startS3 } from '../../testbed/s3.ts';

const MIB = 1024 ** 2;
/** Of one request, instead of minutes, where the fault stays. */
const PATIENCE = { milliseconds: 1200 };
/** Where it passes, on a machine that is busy. */
const LONG_PATIENCE = { milliseconds: 10_000 };
/** Of one capture with its rescue: some requests fail one after the other, each after its patience. */
const BOUND_SECONDS = 25;
/** They wait most of the time. */
const AT_ONCE = 4;
const SMALL_AT_MOST = 5;
const LARGE_AT_MOST = 2;

/** Prints what makes the run again: IMPOUND_SEED. */
const SEED = Number(process.env.IMPOUND_SEED ?? Math.floor(Math.random() * 2 ** 31));
const random = mulberry32(SEED);

const signer = newSigner();
const trusted = [parsePublicKey(signer.publicKeyPem, 'key')];
/** What was captured, by bundle path: a stream that repeats one block, so that 40 MiB cost nothing to make. */
const contents = new Map<string, { readonly block: Buffer; readonly times: number }>();
const noise = pseudoRandom(MIB);

const small = smallCollectors();
const large = [...small, largeCollector()];

interface Requests {
  readonly of: readonly Collector[];
  readonly rule: Pick<Rule, 'method' | 'target'>;
  /** How many there are of them in one capture, at least. */
  readonly count: number;
  /** Bytes of the largest body. */
  readonly body: number;
}

const REQUESTS: Readonly<Record<string, Requests>> = {
  'a small object': {
    of: small,
    rule: { method: 'PUT', target: /\/data\/10-[^?]*(\?x-id=PutObject)?$/ },
    count: 8,
    body: 4096,
  },
  'a custody entry': { of: small, rule: { method: 'PUT', target: /\/custody\/\d{6}/ }, count: 5, body: 1000 },
  'a look at what was stored': { of: small, rule: { method: 'HEAD' }, count: 14, body: 0 },
  'the listing': { of: small, rule: { method: 'GET', target: /\?.*versions/ }, count: 1, body: 0 },
  'an entry that is read': { of: small, rule: { method: 'GET', target: /\/custody\/\d{6}/ }, count: 4, body: 0 },
  'the begin of an upload': { of: large, rule: { method: 'POST', target: /\?uploads/ }, count: 1, body: 0 },
  'a part': { of: large, rule: { method: 'PUT', target: /partNumber=/ }, count: 3, body: 16 * MIB },
  'the end of an upload': { of: large, rule: { method: 'POST', target: /uploadId=/ }, count: 1, body: 200 },
};

/** They pass, and the capture goes on. */
const PASSING: Readonly<Record<string, (requests: Requests) => Omit<Rule, 'method' | 'target' | 'nth'>>> = {
  'is cut off before the server hears of it': () => ({ fault: { kind: 'cut-request', bytes: 0 } }),
  'is cut off in its body': ({ body }) => ({ fault: { kind: 'cut-request', bytes: Math.floor(body * random()) } }),
  'loses its answer': () => ({ fault: { kind: 'lose-response' } }),
  'loses two answers': () => ({ times: 2, fault: { kind: 'lose-response' } }),
  'is answered in part': () => ({ fault: { kind: 'cut-response', bytes: 20 } }),
  'is answered by half': () => ({ fault: { kind: 'half-response' } }),
  'is answered 500': () => ({ times: 2, fault: { kind: 'answer', status: 500, code: 'InternalError' } }),
  'is answered 503 in a burst': () => ({ times: 4, fault: { kind: 'answer', status: 503, code: 'SlowDown' } }),
  'comes late': () => ({ fault: { kind: 'delay', milliseconds: 300 } }),
};

/** They stay: the capture ends. */
const LASTING: Readonly<Record<string, Fault>> = {
  'is refused from then on': { kind: 'answer', status: 403, code: 'AccessDenied' },
  'is not answered any more': { kind: 'cut-request', bytes: 0 },
  'loses each answer from then on': { kind: 'lose-response' },
  'is answered 500 from then on': { kind: 'answer', status: 500, code: 'InternalError' },
};

let s3: S3;
let proxy: FaultProxy;
let cases = 0;

const reason = missing(S3_COMPONENTS);
if (reason === undefined) {
  s3 = await startS3({ after });
  await s3.makeBucket({ name: EVIDENCE, objectLock: true });
  proxy = await startProxy({ after }, s3.endpoint);
}

test('whatever fails, a capture is whole, or what it stored can be sealed', { concurrency: 4 }, async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  t.diagnostic(`IMPOUND_SEED=${SEED}`);
  const planned = Object.entries(REQUESTS).map(([what, requests]) => ({
    what,
    of: requests.of,
    passing: some(PASSING, requests).map(([how, rule]) => plan(what, how, rule(requests))),
    lasting: some(LASTING, requests).map(([how, fault]) => plan(what, how, { times: Number.POSITIVE_INFINITY, fault })),
  }));
  await Promise.all(
    planned.map(({ what, of, passing, lasting }) =>
      t.test(what, async (subtest) => {
        const endings: string[] = [];
        await forEachBounded(passing, AT_ONCE, (one) => assertPasses(one, of));
        await forEachBounded(lasting, AT_ONCE, async (one) => void endings.push(await endingOf(one, of)));
        subtest.diagnostic(endings.join('; '));
      }),
    ),
  );
});

async function assertPasses({ prefix, label, store, direct }: Planned, of: readonly Collector[]): Promise<void> {
  const { value, seconds } = await timed(() => captureInto({ store, collectors: of, signer }));
  assert.ok(isTouched(prefix), `${label}: no request met it`);
  assert.equal(value.kind, 'sealed', `${label}: ${String(value.kind === 'failed' && value.error)}`);
  assert.ok(seconds < BOUND_SECONDS, `${label}: ${seconds} s`);
  await assertWhole(direct, of, label);
}

async function endingOf({ prefix, label, store, direct }: Planned, of: readonly Collector[]): Promise<string> {
  const { value, seconds } = await timed(() => captureInto({ store, collectors: of, signer }));
  assert.ok(isTouched(prefix), `${label}: no request met it`);
  assert.ok(seconds < BOUND_SECONDS, `${label}: ${seconds} s`);
  if (value.kind === 'failed') assert.ok(value.error instanceof ImpoundError, `${label}: ${String(value.error)}`);
  const ending = await finish(direct, value.kind === 'sealed' || value.rescued, of, label);
  return `${label}: ${ending} (${seconds.toFixed(1)} s)`;
}

test('reading goes on where the connection broke off, again and again', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const [bytes, path] = [Buffer.concat(Array.from({ length: 24 }, () => noise)), 'data/10-process/read.bin'];
  const prefix = `case${++cases}`;
  const direct = s3StoreOf(s3, prefix);
  const writer = await direct.create(path);
  await writer.write(bytes);
  await writer.commit();
  const flaky = await startProxy(t, s3.endpoint);
  const cut = (): Fault => ({ kind: 'cut-response', bytes: Math.floor(random() * 4 * MIB) });
  flaky.add(
    ...Array.from({ length: 6 }, (_, index) => ({ method: 'GET', nth: 1 + index, fault: cut() })),
    { method: 'GET', nth: 7, fault: { kind: 'half-response' } },
    { method: 'GET', nth: 8, times: 2, fault: { kind: 'answer', status: 503, code: 'SlowDown' } },
    { method: 'GET', nth: 10, fault: { kind: 'throttle', bytesPerSecond: 32 * MIB } },
  );
  const store = s3StoreOf(s3, prefix, { endpoint: flaky.endpoint, patience: PATIENCE });
  const read = Buffer.concat(await Array.fromAsync(store.read(path)));
  assert.ok(read.equals(bytes));
  const range = Buffer.concat(await Array.fromAsync(store.read(path, { start: 5, end: 20 * MIB })));
  assert.ok(range.equals(bytes.subarray(5, 20 * MIB)));
});

test('a store that breaks off each answer is given up, and not asked without end', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const prefix = `case${++cases}`;
  const direct = s3StoreOf(s3, prefix);
  await direct.put('data/10-process/read.bin', noise);
  const broken = await startProxy(t, s3.endpoint);
  broken.add({ method: 'GET', times: Number.POSITIVE_INFINITY, fault: { kind: 'half-response' } });
  const store = s3StoreOf(s3, prefix, { endpoint: broken.endpoint, patience: PATIENCE });
  const { value, seconds } = await timed(() =>
    Array.fromAsync(store.read('data/10-process/read.bin', { start: MIB - 1 })).catch((error: unknown) => error),
  );
  assert.ok(value instanceof ImpoundError);
  assert.equal(value.code, 'store-unreachable');
  assert.ok(seconds < BOUND_SECONDS);
  assert.ok(broken.seen.length < 30, `${broken.seen.length} requests`);
});

test('an entry whose answer was lost before an outage is on the chain once when the store is back', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const outage = await startProxy(t, s3.endpoint);
  const prefix = `case${++cases}`;
  outage.add(
    { target: /custody\/000002/, fault: { kind: 'lose-response' } },
    { target: /custody\/000002/, nth: 2, times: Number.POSITIVE_INFINITY, fault: { kind: 'cut-request', bytes: 0 } },
  );
  const [first, second] = ['data/10-process/before.bin', 'data/10-process/after.bin'];
  for (const path of [first, second]) contents.set(path, { block: noise.subarray(0, 1000), times: 1 });
  const collectors = [
    collector(
      'outage',
      async function* () {
        yield artefact('10-process/before.bin', noise.subarray(0, 1000));
        await sleep(5000); // the entry is given up
        outage.clear();
        yield artefact('10-process/after.bin', noise.subarray(0, 1000));
      },
      { artefacts: [first, second], limits: { bytes: MIB, seconds: 60 } },
    ),
  ];
  const store = s3StoreOf(s3, prefix, { endpoint: outage.endpoint, patience: { milliseconds: 300 } });
  const captured = await captureInto({ store, collectors, signer });
  assert.deepEqual([captured.kind, captured.kind === 'failed' && captured.rescued], ['failed', true]);
  await assertWhole(s3StoreOf(s3, prefix), collectors, 'an outage', true);
});

/** Large captures cost half a second of two cores each: in CI the seed chooses a few. */
function some<T>(faults: Readonly<Record<string, T>>, { of }: Requests): readonly (readonly [string, T])[] {
  const all = Object.entries(faults);
  if (process.env.IMPOUND_SOAK !== undefined) return all;
  return all
    .map((fault) => ({ fault, order: random() }))
    .toSorted((a, b) => a.order - b.order)
    .slice(0, of === small ? SMALL_AT_MOST : LARGE_AT_MOST)
    .map(({ fault }) => fault);
}

interface Planned {
  readonly label: string;
  readonly prefix: string;
  /** Through the proxy. */
  readonly store: S3Store;
  /** To the same place without it. */
  readonly direct: S3Store;
}

/** The fault is one capture's own: all of its requests name its prefix. */
function plan(what: string, how: string, rule: Omit<Rule, 'method' | 'target' | 'nth'>): Planned {
  const {
    rule: { method, target },
    count,
  } = REQUESTS[what] ?? assert.fail(what);
  const nth = 1 + Math.floor(random() * count);
  const prefix = `case${++cases}`;
  const own = new RegExp(`^(?=.*[/=]${prefix}(?:/|%2F)).*${target?.source ?? ''}`);
  proxy.add({ ...(method === undefined ? {} : { method }), target: own, nth, ...rule });
  const patience = rule.times === Number.POSITIVE_INFINITY ? PATIENCE : LONG_PATIENCE;
  const store = s3StoreOf(s3, prefix, { endpoint: proxy.endpoint, patience });
  return { prefix, label: `${what} (number ${nth}) ${how}`, store, direct: s3StoreOf(s3, prefix) };
}

function isTouched(prefix: string): boolean {
  return proxy.seen.some(
    ({ target, fault }) => fault !== undefined && new RegExp(`[/=]${prefix}(?:/|%2F)`).test(target),
  );
}

/** Seals it where that is left to do; it then verifies, and holds no byte that was not given. */
async function finish(store: S3Store, sealed: boolean, of: readonly Collector[], label: string): Promise<string> {
  const error = sealed
    ? undefined
    : await recoverBundle(custodyOf(store, signer)).then(
        () => undefined,
        (cause: unknown) => cause,
      );
  if (error instanceof ImpoundError && error.code === 'not-a-bundle') return 'not begun';
  if (error instanceof ImpoundError && error.code === 'bundle-sealed') return 'sealed, unheard';
  assert.equal(error, undefined, label);
  await assertWhole(store, of, label, true);
  return sealed ? 'sealed' : 'recovered';
}

async function assertWhole(store: S3Store, of: readonly Collector[], label: string, cut = false): Promise<void> {
  const report = await verifyBundle(store, { trusted });
  assert.deepEqual(report.findings, [], label);
  assert.equal(report.verdict, 'intact', label);
  assert.deepEqual(report.warnings, [], label);
  const statements = (await readChain(store)).map(({ statement }) => statement);
  const all = records(statements).filter(({ path }) => !path.startsWith('data/00-meta/'));
  assert.equal(new Set(all.map(({ path }) => path)).size, all.length, `${label}: an artefact is named twice`);
  const given = new Set(of.flatMap(({ artefacts }) => artefacts));
  for (const { path, size, sha256, truncated } of all) {
    assert.ok(given.delete(path), `${label}: ${path} was not given`);
    if (!cut) assert.equal(truncated, undefined, label);
    assert.equal(sha256, digestOf(path, truncated === undefined ? undefined : size), `${label}: ${path}`);
  }
  if (!cut) assert.deepEqual([...given], [], `${label}: not stored`);
  for await (const { path } of store.unfinished()) {
    assert.ok(
      all.some((record) => record.path === path && record.truncated === undefined),
      `${label}: an upload of ${path} is left with bytes that nobody has`,
    );
  }
  const ends = statements.filter(({ predicate }) => ['grant', 'close', 'seal'].includes(predicate.action));
  assert.equal(ends.length, 3, label);
}

/** Of the first `size` bytes of what was given as this artefact; of all of them without. */
function digestOf(path: string, size = Number.POSITIVE_INFINITY): string {
  const { block, times } = contents.get(path) ?? { block: noise, times: 0 };
  const digest = createHash('sha256');
  for (let turn = 0, left = size; turn < times; turn++, left -= block.length)
    digest.update(block.subarray(0, Math.max(0, left)));
  return digest.digest('hex');
}

function smallCollectors(): readonly Collector[] {
  return [0, 1, 2].map((number) => {
    const paths = Array.from({ length: 4 }, (_, index) => `10-process/${number}/${index}.bin`);
    for (const [index, path] of paths.entries())
      contents.set(`data/${path}`, {
        block: noise.subarray(number * 10_000 + index, number * 10_000 + index * 1000),
        times: 1,
      });
    return collector(
      `small${number}`,
      async function* () {
        for (const path of paths) {
          if (path.endsWith('/2.bin') && number === 0) await sleep(1100); // an entry in the middle
          yield artefact(path, contents.get(`data/${path}`)?.block ?? '');
        }
      },
      { artefacts: paths.map((path) => `data/${path}`) },
    );
  });
}

function largeCollector(): Collector {
  const path = '40-memory/large.bin';
  contents.set(`data/${path}`, { block: noise, times: 40 });
  return collector(
    'large',
    async function* () {
      yield artefact(path, ...Array.from({ length: 40 }, () => noise));
    },
    { artefacts: [`data/${path}`] },
  );
}

function pseudoRandom(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  const next = mulberry32(7);
  for (let at = 0; at < size; at += 4) bytes.writeUInt32LE(Math.floor(next() * 2 ** 32), at);
  return bytes;
}

/** A small generator of numbers from 0 to 1 that a seed makes again. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
