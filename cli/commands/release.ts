// impound release NAME
import { type Command, LEFT_RUNNING } from '../command.ts';
import { type ClusterArguments, clusterOptions } from './cluster-options.ts';

export interface ReleaseArguments extends ClusterArguments {
  readonly name?: string;
  readonly node?: string;
}

export const release: Command<ReleaseArguments> = {
  usage: 'release [name]',
  description: 'Give a captured node back as it was; the evidence stays',
  positionals: { name: 'Name of the capture' },
  options: { node: { type: 'string', describe: 'All captures that hold this node' }, ...clusterOptions },
  examples: [['$0 release --node web-3', '']],
  onStop: () => LEFT_RUNNING,
  run: async (argv, environment) => (await import('../cluster/release.ts')).runRelease(argv, environment),
};
