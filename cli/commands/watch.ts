// impound status NAME, watch NAME, cancel NAME
import { type Command, LEFT_RUNNING } from '../command.ts';
import { type ClusterArguments, clusterOptions, type TriageArguments, triageOption } from './cluster-options.ts';

export interface NameArguments extends ClusterArguments {
  readonly name: string;
}

export interface WatchArguments extends NameArguments, TriageArguments {
  readonly strict: boolean;
}

const NAME = 'Name of the capture';

export const status: Command<NameArguments> = {
  usage: 'status <name>',
  description: 'Show how far a capture of the cluster is',
  positionals: { name: NAME },
  options: clusterOptions,
  examples: [],
  run: async (argv, environment) => (await import('../cluster/verbs.ts')).runStatus(argv, environment),
};

export const watch: Command<WatchArguments> = {
  usage: 'watch <name>',
  description: 'Watch a capture of the cluster to its end',
  positionals: { name: NAME },
  options: {
    strict: { type: 'boolean', default: false, describe: 'Exit 1 where anything could not be had' },
    ...triageOption,
    ...clusterOptions,
  },
  examples: [],
  onStop: () => LEFT_RUNNING,
  run: async (argv, environment) => (await import('../cluster/verbs.ts')).runWatch(argv, environment),
};

export const cancel: Command<NameArguments> = {
  usage: 'cancel <name>',
  description: 'End a capture of the cluster early: what there is is sealed',
  positionals: { name: NAME },
  options: clusterOptions,
  examples: [],
  onStop: () => LEFT_RUNNING,
  run: async (argv, environment) => (await import('../cluster/cancel.ts')).runCancel(argv, environment),
};
