// What every phase's function is given, and what it answers.
import type { Clock, Logger, Signer, Store } from '../../evidence/index.ts';
import type { Kubernetes } from '../../kubernetes/index.ts';
import type { NodeCapture } from '../../protocol/index.ts';
import type { AgentDesk } from '../agents/desk.ts';
import type { LiveCaptures } from '../captures/registry.ts';
import type { ControllerConfig } from '../config.ts';
import type { Deaf } from '../hearing.ts';
import type { Tell } from '../tell.ts';
import type { Turns } from '../turns.ts';

export interface Reconciling {
  readonly kubernetes: Kubernetes;
  readonly config: ControllerConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signer: Signer;
  readonly software: string;
  /** Of all bundles. */
  readonly store: Store;
  readonly live: LiveCaptures;
  /** Of the node of this name; undefined where there is none. */
  readonly nodeUid: (node: string) => Promise<string | undefined>;
  /** All captures, as the watch has them. */
  readonly watched: () => readonly NodeCapture[];
  readonly turns: Turns;
  readonly desk: AgentDesk;
  readonly tell: Tell;
  /** Why the node's agent is not heard, where something is known to be in its way. */
  readonly deaf: (node: string) => Deaf | undefined;
  /** Note of the replica that led before and stood on a suspect node. */
  readonly steppedDown: string | undefined;
}

/** What comes next: at once with the capture as it is now, after some time, or when something changes. */
export type Next =
  | { readonly kind: 'on'; readonly capture: NodeCapture }
  | { readonly kind: 'after'; readonly milliseconds: number }
  | { readonly kind: 'rest' };

export type PhaseFunction = (capture: NodeCapture, context: Reconciling) => Promise<Next>;

export const REST: Next = { kind: 'rest' };

export function after(milliseconds: number): Next {
  return { kind: 'after', milliseconds };
}

export function isDeleted({ metadata }: NodeCapture): boolean {
  return metadata.deletionTimestamp !== undefined;
}

/** Whoever wants it ended early: by cancelling, by releasing before it is done, or by deleting it. */
export function isUnwanted(capture: NodeCapture): boolean {
  return capture.spec.cancel === true || capture.spec.release === true || isDeleted(capture);
}
