// impound bundles STORE
import type { Command } from '../command.ts';
import { type StoreArguments, storeOptions } from './store-options.ts';

export interface BundlesArguments extends StoreArguments {
  readonly store: string;
}

export const bundles: Command<BundlesArguments> = {
  usage: 'bundles <store>',
  description: 'List the bundles of a store: case, node, time, whether sealed, size',
  positionals: { store: 'Folder that takes bundles, or s3://BUCKET/PREFIX' },
  options: storeOptions,
  examples: [['$0 bundles s3://evidence/ir', '']],
  run: async (argv, environment) => (await import('../bundles/list-bundles.ts')).runBundles(argv, environment),
};
