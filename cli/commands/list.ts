// impound list
import type { Command } from '../command.ts';
import { type ClusterArguments, clusterOptions } from './cluster-options.ts';

export interface ListArguments extends ClusterArguments {
  readonly node?: string;
}

export const list: Command<ListArguments> = {
  usage: 'list',
  description: 'List the captures of a cluster',
  positionals: {},
  options: { node: { type: 'string', describe: 'Of this node only' }, ...clusterOptions },
  examples: [['$0 list --node web-3', '']],
  run: async (argv, environment) => (await import('../cluster/verbs.ts')).runList(argv, environment),
};
