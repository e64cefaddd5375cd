// What the node's pods point at, gathered while they are stored: owners, accounts, namespaces, names of Secrets.
import type { Row } from './ask.ts';
import { type Reference, referencesOf } from './references.ts';

/** A node has some hundred pods; the API server does not hold a hostile kubelet to that. */
const MAX_PODS = 20_000;
const MAX_REFERENCES = 200_000;

export interface OwnerName {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface Account {
  readonly namespace: string;
  readonly name: string;
}

export interface Survey {
  add(pod: Row): void;
  /** Ends it: whoever waits goes on with what there is. */
  end(): void;
  readonly ended: Promise<void>;
  /** Of the pods' own uids. */
  readonly pods: ReadonlySet<string>;
  /** "NAMESPACE/NAME". */
  readonly names: ReadonlySet<string>;
  readonly owners: ReadonlyMap<string, OwnerName>;
  /** By "NAMESPACE/NAME". */
  readonly accounts: ReadonlyMap<string, Account>;
  readonly namespaces: ReadonlySet<string>;
  readonly references: readonly Reference[];
  /** Of pods or references that were too many. */
  readonly left: number;
}

export function survey(): Survey {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const pods = new Set<string>();
  const names = new Set<string>();
  const owners = new Map<string, OwnerName>();
  const accounts = new Map<string, Account>();
  const namespaces = new Set<string>();
  const references: Reference[] = [];
  let left = 0;
  return {
    ...{ ended, end, pods, names, owners, accounts, namespaces, references },
    get left() {
      return left;
    },
    add(pod) {
      if (pods.size >= MAX_PODS) {
        left++;
        return;
      }
      const { namespace = '', name, uid } = pod.metadata;
      pods.add(uid);
      names.add(`${namespace}/${name}`);
      namespaces.add(namespace);
      for (const owner of ownersOf(pod)) owners.set(owner.uid, owner);
      const account = accountOf(pod);
      if (account !== undefined) accounts.set(`${namespace}/${account}`, { namespace, name: account });
      for (const reference of referencesOf(pod)) {
        if (references.length < MAX_REFERENCES) references.push(reference);
        else left++;
      }
    },
  };
}

export function ownersOf({ metadata: { namespace = '', ownerReferences = [] } }: Row): readonly OwnerName[] {
  return ownerReferences.map(({ apiVersion, kind, name, uid }) => ({ apiVersion, kind, namespace, name, uid }));
}

/** A mirror pod of a static one has none. */
function accountOf(pod: Row): string | undefined {
  const spec = pod.spec as { readonly serviceAccountName?: string } | undefined;
  return spec?.serviceAccountName;
}
