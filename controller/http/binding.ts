// Whether an agent's pod and node are those that its token was made for: an API server takes a token of a pod that is
// gone for some ten seconds, and one whose Node object was replaced for as long as its pod is there.
import type { AgentIdentity } from './identity.ts';
import { Problem } from './problem.ts';

/** The uid of what has this name now; undefined where there is none. */
export type UidOf = (name: string) => string | undefined | Promise<string | undefined>;

export type BindingRefusal = 'node-gone' | 'node-other' | 'pod-gone' | 'pod-other';

export interface Refused {
  readonly reason: BindingRefusal;
  readonly problem: Problem;
}

/** Undefined where both are the same still. Throws what the functions throw. */
export async function refusalOf(agent: AgentIdentity, nodeUid: UidOf, podUid: UidOf): Promise<Refused | undefined> {
  const [node, pod] = await Promise.all([nodeUid(agent.node), podUid(agent.pod)]);
  if (node === undefined) return refused('node-gone', 'the node of this token is none of the cluster any more');
  if (node !== agent.nodeUid)
    return refused('node-other', 'the node of this token was replaced by another of its name');
  if (pod === undefined) return refused('pod-gone', 'the pod of this token is gone');
  if (pod !== agent.podUid) return refused('pod-other', 'the pod of this token was replaced by another of its name');
  return undefined;
}

function refused(reason: BindingRefusal, detail: string): Refused {
  return { reason, problem: new Problem(403, 'forbidden', detail) };
}
