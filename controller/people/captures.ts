// What the people's API asks of the controller: the captures it knows, their stores, and one entry on a chain.
import type { Store } from '../../evidence/index.ts';
import type { NodeCapture } from '../../protocol/index.ts';
import type { PersonIdentity } from '../http/identity.ts';

export interface AccessDetails {
  readonly purpose: string;
  /** What is going to be read: objects, or folders with all below them; everything where absent. */
  readonly paths?: readonly string[];
}

export interface PeoplesCaptures {
  /** From the watch's cache. */
  list(): readonly NodeCapture[];
  find(name: string): NodeCapture | undefined;
  /** The store of the capture's bundle; undefined where it has none yet. */
  store(capture: NodeCapture): Promise<Store | undefined>;
  /**
   * Appends an `access` entry in that person's name: actor {kind: "person", name: username}, these details. Only the
   * leader can: Problem 421 `not-leader` with `leader` elsewhere.
   */
  recordAccess(
    capture: NodeCapture,
    person: PersonIdentity,
    details: AccessDetails,
  ): Promise<{ readonly sequence: number; readonly sha256: string }>;
}
