// impound ls BUNDLE
import type { Command } from '../command.ts';
import { BUNDLE, type StoreArguments, storeOptions } from './store-options.ts';

export interface LsArguments extends StoreArguments {
  readonly bundle: string;
  readonly custody: boolean;
}

export const ls: Command<LsArguments> = {
  usage: 'ls <bundle>',
  description: 'List artefacts, sizes and gaps of a bundle, or its custody chain',
  positionals: { bundle: BUNDLE },
  options: {
    custody: { type: 'boolean', default: false, describe: 'The custody chain instead' },
    ...storeOptions,
  },
  examples: [['$0 ls BUNDLE --custody', 'who did what, and when']],
  run: async (argv, environment) => (await import('../bundles/list-bundle.ts')).runLs(argv, environment),
};
