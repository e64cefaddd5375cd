// What networks and servers do to each kind of request: a capture to S3 either completes, or leaves a bundle that can be
// sealed and verifies; nothing is lost of what it named, nothing is doubled.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Collector } from '../../../capture/index.ts';
import { forEachBounded, ImpoundError, recoverBundle } from '../../../evidence/index.ts';
import type { S3Store } from '../../../evidence/store/s3/store.ts';
import { custodyOf } from '../../helpers/bundle.ts';
import { missing, needs } from '../../helpers/component.ts';
import { captureInto, EVIDENCE, s3StoreOf } from '../../helpers/s3.ts';
import { assertWhole, large, random, SEED, signer, small } from '../../helpers/s3-faults.ts';
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
