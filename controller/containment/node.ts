// A Node as the API server has it, and how it is changed: read, decided upon, patched on the condition that it is still so.
import { setTimeout as sleep } from 'node:timers/promises';
import { ImpoundError } from '../../evidence/index.ts';
import { type Kubernetes, type KubernetesObject, unlessMissing } from '../../kubernetes/index.ts';

export const NODES = '/api/v1/nodes';

export interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute';
  readonly timeAdded?: string;
}

/** What is asked of a Node here. */
export interface NodeObject extends KubernetesObject {
  readonly spec: { readonly unschedulable?: boolean; readonly taints?: readonly Taint[] };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/** Fields of a JSON merge patch (RFC 7386): null takes one away, a list takes the place of the whole list. */
export interface NodePatch {
  readonly spec?: { readonly unschedulable?: boolean | null; readonly taints?: readonly Taint[] | null };
  readonly metadata?: { readonly annotations?: Readonly<Record<string, string | null>> };
}

/** Whoever writes to the Node all the time loses some of these races. */
const TRIES = 20;
const BACKOFF_MILLISECONDS = 10;
const MAX_BACKOFF_MILLISECONDS = 100;

/** Undefined where there is no such node. */
export function findNode(kubernetes: Kubernetes, name: string, signal?: AbortSignal): Promise<NodeObject | undefined> {
  return unlessMissing(kubernetes.get<NodeObject>(`${NODES}/${encodeURIComponent(name)}`, ask(signal)));
}

export interface Change<T> {
  /** The node as it was when `decide` had its last word; undefined where there is none. */
  readonly before: NodeObject | undefined;
  /** As it is now; `before` where nothing was to be changed. */
  readonly after: NodeObject | undefined;
  readonly decision: T;
}

/**
 * Asks `decide` what to change about the node as it is, and changes exactly that node and version: whoever was faster is
 * read, and `decide` asked again. Throws as Kubernetes does; `api-conflict` where every try lost.
 */
export async function changeNode<T extends { readonly patch?: NodePatch | undefined }>(
  kubernetes: Kubernetes,
  name: string,
  decide: (node: NodeObject | undefined) => T | Promise<T>,
  signal?: AbortSignal,
): Promise<Change<T>> {
  for (let tries = 1; ; tries++) {
    const before = await findNode(kubernetes, name, signal);
    const decision = await decide(before);
    if (before === undefined || decision.patch === undefined) return { before, after: before, decision };
    const { spec, metadata } = decision.patch;
    const { resourceVersion } = before.metadata;
    const body = { ...(spec === undefined ? {} : { spec }), metadata: { ...metadata, resourceVersion } };
    const path = `${NODES}/${encodeURIComponent(name)}`;
    try {
      return { before, after: await kubernetes.patch<NodeObject>(path, 'merge', body, ask(signal)), decision };
    } catch (error) {
      // missing: deleted meanwhile, which the next look says
      const raced = error instanceof ImpoundError && ['api-conflict', 'api-missing'].includes(error.code);
      if (!raced || tries === TRIES) throw error;
      await sleep(Math.min(tries * BACKOFF_MILLISECONDS, MAX_BACKOFF_MILLISECONDS), undefined, ask(signal));
    }
  }
}

function ask(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
