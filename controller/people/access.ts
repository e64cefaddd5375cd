// The captures as the people's API sees them; who reads evidence is written on its chain by the leader.
import { ChainWriter, type Clock, readChain, type Signer, type Store } from '../../evidence/index.ts';
import type { Kubernetes } from '../../kubernetes/index.ts';
import type { NodeCapture } from '../../protocol/index.ts';
import type { LiveCaptures } from '../captures/registry.ts';
import { uidOf } from '../captures/registry.ts';
import { bundleStore } from '../captures/stores.ts';
import type { ControllerConfig } from '../config.ts';
import type { PersonIdentity } from '../http/identity.ts';
import { Problem } from '../http/problem.ts';
import { writeStatus } from '../reconcile/status.ts';
import type { AccessDetails, PeoplesCaptures } from './captures.ts';

export interface PeoplesCapturesOptions {
  readonly list: () => readonly NodeCapture[];
  readonly find: (name: string) => NodeCapture | undefined;
  readonly live: LiveCaptures;
  readonly store: Store;
  readonly config: ControllerConfig;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly kubernetes: Kubernetes;
  /** Throws the Problem 421 or 503. */
  readonly assertLeader: () => void;
}

export function peoplesCaptures(options: PeoplesCapturesOptions): PeoplesCaptures {
  const { store, config, live, signer, clock, kubernetes } = options;
  /** One access after the other: each links to the entry before it. */
  let last: Promise<unknown> = Promise.resolve();
  const storeOf = (capture: NodeCapture): Store | undefined => {
    const id = capture.status?.bundle?.id;
    return id === undefined ? undefined : bundleStore(store, config, capture, id);
  };
  const chainOf = async (capture: NodeCapture): Promise<ChainWriter> => {
    const opened = live.get(uidOf(capture));
    if (opened !== undefined) return opened.chain;
    const bundle = capture.status?.bundle?.id ?? '';
    const own = storeOf(capture);
    if (own === undefined) throw new Problem(404, 'not-found', 'this capture has no bundle yet');
    const actor = { kind: 'controller', name: config.pod.name, node: config.pod.node } as const;
    return new ChainWriter({ store: own, bundle, signer, actor, clock, entries: await readChain(own) });
  };
  const record = async (capture: NodeCapture, person: PersonIdentity, details: AccessDetails) => {
    options.assertLeader();
    const chain = await chainOf(capture);
    const head = await chain.append('access', details, { actor: { kind: 'person', name: person.username } });
    const now = options.find(capture.metadata.name) ?? capture;
    const { bundle } = now.status ?? {};
    if (bundle !== undefined)
      await writeStatus(kubernetes, clock, now, { bundle: { ...bundle, head } }).catch(() => undefined); // the chain has it; the head is written again with the next change
    return head;
  };
  return {
    list: options.list,
    find: options.find,
    store: async (capture) => storeOf(capture),
    recordAccess(capture, person, details) {
      const recorded = last.then(() => record(capture, person, details));
      last = recorded.catch(() => undefined);
      return recorded;
    },
  };
}
