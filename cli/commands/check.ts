// impound check, and check --store STORE
import type { Command } from '../command.ts';
import { usage } from '../usage.ts';
import { type ControllerArguments, controllerOptions } from './cluster-options.ts';
import { repeatable } from './repeatable.ts';
import { type ProtectionArguments, protectionOptions, type StoreArguments, storeOptions } from './store-options.ts';

/** Of a store that is tried from here. */
export interface CheckArguments extends StoreArguments, ProtectionArguments {
  readonly store: string;
}

export interface ClusterCheckArguments extends ControllerArguments {
  readonly node: readonly string[];
}

type Words = Omit<CheckArguments, 'store'> & ClusterCheckArguments & { readonly store?: string };

export const check: Command<Words> = {
  usage: 'check',
  description: 'Try whether captures work: in the cluster, or into a store from here; what to do where they do not',
  positionals: {},
  options: {
    store: {
      type: 'string',
      describe: 'Try a store from here: directory, or s3://BUCKET/PREFIX; in S3 two tiny objects are left there',
    },
    node: repeatable('Only the agent of this node of the cluster; repeatable'),
    ...protectionOptions,
    ...storeOptions,
    ...controllerOptions,
  },
  examples: [
    ['$0 check', 'the cluster: policies, your roles, controller, key, store, and every node’s own way to the store'],
    ['$0 check --node web-3', 'the same, of the agents this one only'],
    ['$0 check --store s3://evidence/ir --retain 90', 'all that "capture" needs there, Object Lock too'],
    ['$0 check --store /mnt/usb', 'a disk: hard links, room, whose disk it is'],
  ],
  async run(argv, environment) {
    const { store } = argv;
    if (store === undefined) {
      assertNone(argv, OF_STORE, '--store STORE');
      return (await import('../cluster/check/check.ts')).runClusterCheck(argv, environment);
    }
    assertNone(argv, OF_CLUSTER, 'a cluster, not --store');
    return (await import('../stores/check-store.ts')).runCheck({ ...argv, store }, environment);
  },
};

const OF_STORE = ['retain', 'legalHold', 'sseKms', 'endpoint', 'region'] as const;
const OF_CLUSTER = ['kubeconfig', 'context', 'as', 'controller', 'controllerCa', 'node'] as const;

/** A word that would be passed over was meant. */
function assertNone(argv: Words, names: readonly (keyof Words)[], of: string): void {
  const given = names.filter((name) => {
    const value = argv[name];
    return value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0);
  });
  const words = given.map((name) => `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`);
  if (words.length > 0) throw usage(`${words.join(', ')}: only with ${of}`);
}
