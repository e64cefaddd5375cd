// impound seal BUNDLE
import type { Command } from '../command.ts';
import { BUNDLE, type StoreArguments, storeOptions } from './store-options.ts';

export interface SealArguments extends StoreArguments {
  readonly bundle: string;
  readonly key?: string;
  readonly abandoned: boolean;
}

export const seal: Command<SealArguments> = {
  usage: 'seal <bundle>',
  description: 'Finish a bundle that a crash left open',
  positionals: { bundle: BUNDLE },
  options: {
    key: { type: 'string', describe: 'The private key the bundle was begun with; default: your own' },
    abandoned: {
      type: 'boolean',
      default: false,
      describe: 'Its capture has ended, although it was written to from another machine lately',
    },
    ...storeOptions,
  },
  examples: [],
  run: async (argv, environment) => (await import('../bundles/seal-bundle.ts')).runSeal(argv, environment),
};
