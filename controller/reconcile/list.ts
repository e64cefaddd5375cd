// All captures of one node as they are now: what the watch has may be older than what another capture relies upon.
import { type NodeCapture, parseNodeCapture } from '../../protocol/index.ts';
import type { Reconciling } from './phase.ts';
import { CAPTURES } from './status.ts';

/** Throws `usage` where one cannot be read by this version: it may hold the node, so nothing is put back without it. */
export async function listCaptures({ kubernetes }: Reconciling, node: string): Promise<readonly NodeCapture[]> {
  const { items } = await kubernetes.list<unknown>(CAPTURES, { query: { fieldSelector: `spec.node=${node}` } });
  return items.map(parseNodeCapture);
}
