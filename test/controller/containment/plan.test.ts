// Whatever a node was like: held and given back, it is so again, and what others did meanwhile is neither lost nor hidden.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type HoldRequest, planHold } from '../../../controller/containment/hold.ts';
import { ANNOTATIONS, stateOf, TAINT } from '../../../controller/containment/marks.ts';
import type { NodeObject, NodePatch, Taint } from '../../../controller/containment/node.ts';
import { priorFor } from '../../../controller/containment/prior.ts';
import { planRelease } from '../../../controller/containment/release.ts';
import { systemClock } from '../../../evidence/index.ts';
import { type NodeCapture, parseNodeCaptureStatus } from '../../../protocol/index.ts';
import { captureOf } from './bed.ts';

/** The part of RFC 7386 that is needed here. */
function patched(node: NodeObject, patch: NodePatch | undefined): NodeObject {
  const merged = (target: object, changes: object): object => {
    const entries = new Map<string, unknown>(Object.entries(target));
    for (const [name, value] of Object.entries(changes)) {
      if (value === null) entries.delete(name);
      else if (Array.isArray(value) || typeof value !== 'object') entries.set(name, value);
      else entries.set(name, merged((entries.get(name) ?? {}) as object, value));
    }
    return Object.fromEntries(entries);
  };
  return merged(node, patch ?? {}) as NodeObject;
}

const value = fc.constantFrom(undefined, 'true', 'false', '', 'x', 'x'.repeat(3000), 'a\nb', '\u{1f98a}'.repeat(1024));
const effect = fc.constantFrom('NoSchedule', 'PreferNoSchedule', 'NoExecute') satisfies fc.Arbitrary<Taint['effect']>;
const taint = fc.record({
  key: fc.constantFrom(TAINT, 'other', 'another'),
  value: fc.constantFrom('', 'theirs', 'b'),
  effect,
});
const taints = fc.uniqueArray(taint, { maxLength: 6, selector: ({ key, effect: of }) => `${key} ${of}` });
const annotations = fc.record({ other: value, ...Object.fromEntries(ANNOTATIONS.map((name) => [name, value])) });
const nodes = fc
  .record({ unschedulable: fc.boolean(), taints, annotations })
  .map(({ annotations: given, ...spec }): NodeObject => {
    const known = Object.entries(given).filter((entry): entry is [string, string] => entry[1] !== undefined);
    const metadata = { name: 'node1', uid: 'uid-1', resourceVersion: '1', annotations: Object.fromEntries(known) };
    return { metadata, spec: { taints: spec.taints, ...(spec.unschedulable ? { unschedulable: true } : {}) } };
  });
const other: NodeObject = {
  metadata: { name: 'node2', uid: 'uid-2', resourceVersion: '1' },
  spec: {},
  status: { conditions: [{ type: 'Ready', status: 'True' }] },
};

/** With the prior in its status, as the API server would take it. */
function recordedIn(node: NodeObject, capture: NodeCapture, captures: readonly NodeCapture[]): HoldRequest {
  const prior = priorFor(node, capture, captures, systemClock);
  parseNodeCaptureStatus({ prior });
  const holding = { ...capture, status: { ...capture.status, prior } };
  return { capture: holding, prior, captures: [...captures, holding] };
}

const held = (node: NodeObject, request: HoldRequest): NodeObject =>
  patched(node, planHold(node, [node, other], request).patch);
/** Taints in any order: the API server gives them no meaning by it. */
const comparable = ({ metadata, spec: { taints: all = [], ...spec } }: NodeObject): object => ({
  ...{ metadata, spec },
  taints: all.map((one) => JSON.stringify([one.key, one.value ?? '', one.effect])).toSorted(),
});

test('held and given back, a node is what it was, whatever that is', () => {
  fc.assert(
    fc.property(nodes, fc.boolean(), (node, cordon) => {
      const request = recordedIn(node, captureOf('a', 'node1', { cordon }), []);
      const during = held(node, request);
      if (cordon) assert.deepEqual([during.spec.unschedulable, stateOf(during).taint], [true, 'a']);
      assert.equal(planHold(during, [during, other], request).patch, undefined);
      const plan = planRelease(during, request);
      assert.deepEqual(plan.left, []);
      const after = patched(during, plan.patch);
      assert.deepEqual(comparable(after), comparable(node));
      const again = planRelease(after, request);
      assert.deepEqual([again.patch, again.left], [undefined, []]);
    }),
  );
});

test('two captures of it, released in either order, leave it as it was', () => {
  fc.assert(
    fc.property(nodes, fc.tuple(fc.boolean(), fc.boolean()), fc.boolean(), (node, [one, two], firstFirst) => {
      const first = recordedIn(node, captureOf('c1', 'node1', { cordon: one }), []);
      const during = held(node, first);
      const second = recordedIn(during, captureOf('c2', 'node1', { cordon: two }), [first.capture]);
      assert.deepEqual(second.prior, first.prior);
      const captures = [first.capture, second.capture];
      const both = held(during, { ...second, captures });
      const order = firstFirst ? captures : captures.toReversed();
      const [leaving, staying] = order;
      assert.ok(leaving !== undefined && staying !== undefined);
      const handed = planRelease(both, { capture: leaving, prior: first.prior, captures });
      assert.deepEqual([handed.outcome, handed.holder], ['handed-over', staying.metadata.name]);
      const alone = patched(both, handed.patch);
      if (one || two) assert.deepEqual([alone.spec.unschedulable, stateOf(alone).taint], [true, staying.metadata.name]);
      const gone: NodeCapture = { ...leaving, status: { ...leaving.status, phase: 'Released' } };
      const plan = planRelease(alone, { capture: staying, prior: first.prior, captures: [gone, staying] });
      assert.deepEqual(plan.left, []);
      assert.deepEqual(comparable(patched(alone, plan.patch)), comparable(node));
    }),
  );
});

test('what others make of it meanwhile is theirs: left as they made it, and all of it named', () => {
  fc.assert(
    fc.property(nodes, nodes, (node, meddled) => {
      const request = recordedIn(node, captureOf('a', 'node1'), []);
      const during = stateOf(held(node, request));
      const plan = planRelease(meddled, request);
      const [now, after, before] = [meddled, patched(meddled, plan.patch), node].map(stateOf);
      assert.ok(now !== undefined && after !== undefined && before !== undefined);
      for (const name of ANNOTATIONS) {
        // nothing becomes anything but what it was before, and only where it stood as we had set it
        if (after.annotations[name] === now.annotations[name]) continue;
        assert.deepEqual([now.annotations[name], after.annotations[name]], ['true', before.annotations[name]]);
      }
      if (after.taint !== now.taint) assert.deepEqual([now.taint, after.taint], [during.taint, before.taint]);
      if (after.unschedulable !== now.unschedulable)
        assert.deepEqual([now.unschedulable, before.unschedulable], [true, false]);
      assert.deepEqual(planRelease(patched(meddled, plan.patch), request).patch, undefined);
    }),
  );
});

test('what is held by another is no prior, where what that one recorded has not been read', () => {
  fc.assert(
    fc.property(nodes, (node) => {
      const stale = captureOf('c1', 'node1');
      const first = recordedIn(node, stale, []);
      const during = held(node, first);
      const second = captureOf('c2', 'node1');
      assert.throws(() => priorFor(during, second, [stale], systemClock), { code: 'api-conflict' });
      assert.equal(priorFor(during, second, [first.capture], systemClock), first.prior);
      assert.equal(priorFor(during, first.capture, [second], systemClock), first.prior);
    }),
  );
});
