// What is set on a node that is held: annotations against autoscalers, and where it is cordoned a taint and unschedulable.
import type { NodeObject, NodePatch, Taint } from './node.ts';

/** Its value is the name of a capture that holds the node. A kubelet may not change its own Node's taints, all else it may. */
export const TAINT = 'impound.dev/capture';
/** Never NoExecute: eviction destroys evidence. */
export const EFFECT = 'NoSchedule';

/** What every annotation here is set to. */
export const SET = 'true';
/** Of https://github.com/kubernetes/autoscaler (FAQ) and https://karpenter.sh/docs/concepts/disruption/ */
export const HOLDS = ['cluster-autoscaler.kubernetes.io/scale-down-disabled', 'karpenter.sh/do-not-disrupt'] as const;
/** Says that it was Impound that cordoned, also where the taint has been taken away since. */
export const CORDONED = 'impound.dev/cordoned';
export const ANNOTATIONS = [...HOLDS, CORDONED] as const;

const MAX_SHOWN = 256;

/** A node's state, as far as Impound changes any of it. Goes into custody entries. */
export interface NodeState {
  readonly unschedulable: boolean;
  /** Value of the taint impound.dev/capture with NoSchedule; null where there is none. */
  readonly taint: string | null;
  /** By name; null where there is none. */
  readonly annotations: Readonly<Record<string, string | null>>;
}

/** One thing that is not as it should be. */
export interface Difference {
  /** "spec.unschedulable", "taint impound.dev/capture", "annotation NAME". */
  readonly what: string;
  readonly expected: string | boolean | null;
  readonly found: string | boolean | null;
}

export function stateOf(node: NodeObject): NodeState {
  const found = node.metadata.annotations ?? {};
  return {
    unschedulable: node.spec.unschedulable === true,
    taint: taintValue(node),
    annotations: Object.fromEntries(ANNOTATIONS.map((name) => [name, annotation(found, name)])),
  };
}

/** Whether it shows anything that a capture, or whoever speaks to the same autoscalers, has set. */
export function isMarked(node: NodeObject): boolean {
  const { taint, annotations } = stateOf(node);
  return taint !== null || Object.values(annotations).some((value) => value !== null);
}

/** What makes `node` be in `state`, and leaves all else; undefined where it is already. Annotations not named stay. */
export function patchTo(node: NodeObject, state: NodeState): NodePatch | undefined {
  const now = stateOf(node);
  const cordon = now.unschedulable === state.unschedulable ? {} : { unschedulable: state.unschedulable ? true : null };
  const taints = now.taint === state.taint ? {} : { taints: taintsWith(node, state.taint) };
  const spec = { ...cordon, ...taints };
  const changed = Object.entries(state.annotations).filter(([name, value]) => now.annotations[name] !== value);
  if (changed.length === 0 && Object.keys(spec).length === 0) return undefined;
  return {
    ...(Object.keys(spec).length === 0 ? {} : { spec }),
    ...(changed.length === 0 ? {} : { metadata: { annotations: Object.fromEntries(changed) } }),
  };
}

export function differences(expected: NodeState, found: NodeState): readonly Difference[] {
  const pairs: readonly Difference[] = [
    { what: 'spec.unschedulable', expected: expected.unschedulable, found: found.unschedulable },
    { what: `taint ${TAINT}`, expected: expected.taint, found: found.taint },
    ...Object.entries(expected.annotations).map(([name, value]) => ({
      what: `annotation ${name}`,
      expected: value,
      found: found.annotations[name] ?? null,
    })),
  ];
  const differing = pairs.filter((pair) => pair.expected !== pair.found);
  return differing.map((pair) => ({ ...pair, expected: shown(pair.expected), found: shown(pair.found) }));
}

/** As an entry takes it: whoever has the node may have written 256 KiB into an annotation. */
export function shownState(state: NodeState): NodeState {
  const annotations = Object.entries(state.annotations).map(([name, value]) => [name, shown(value)]);
  return { ...state, annotations: Object.fromEntries(annotations) };
}

function shown<T>(value: T): T | string {
  if (typeof value !== 'string' || value.length <= MAX_SHOWN) return value;
  return `${value.slice(0, MAX_SHOWN)}… (${value.length} characters)`;
}

function taintValue({ spec: { taints = [] } }: NodeObject): string | null {
  const taint = taints.find(isOurs);
  return taint === undefined ? null : (taint.value ?? '');
}

/** Where it stood before, so that no other taint moves. */
function taintsWith({ spec: { taints = [] } }: NodeObject, value: string | null): readonly Taint[] | null {
  const taint: readonly Taint[] = value === null ? [] : [{ key: TAINT, value, effect: EFFECT }];
  const at = taints.findIndex(isOurs);
  const all = at === -1 ? [...taints, ...taint] : taints.toSpliced(at, 1, ...taint);
  return all.length === 0 ? null : all;
}

/** A taint is one by its key and its effect: with another effect it is another taint, and nobody's of ours. */
function isOurs({ key, effect }: Taint): boolean {
  return key === TAINT && effect === EFFECT;
}

function annotation(all: Readonly<Record<string, string>>, name: string): string | null {
  return Object.hasOwn(all, name) ? (all[name] ?? null) : null;
}
