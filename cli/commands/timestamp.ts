// impound timestamp BUNDLE
import type { Command } from '../command.ts';
import { BUNDLE, type StoreArguments, storeOptions } from './store-options.ts';

export interface TimestampArguments extends StoreArguments {
  readonly bundle: string;
  readonly tsa: readonly string[];
  readonly key?: string;
}

export const timestamp: Command<TimestampArguments> = {
  usage: 'timestamp <bundle>',
  description: 'Add the RFC 3161 time stamps that grant, seal and newest entry of a bundle lack',
  positionals: { bundle: BUNDLE },
  options: {
    tsa: {
      type: 'string',
      array: true,
      nargs: 1,
      demandOption: 'say which authority: --tsa URL',
      describe: 'URL of a time-stamping authority; repeatable, the first that answers is taken',
    },
    key: { type: 'string', describe: 'Private key that signs the entry about it; default: your own' },
    ...storeOptions,
  },
  examples: [['$0 timestamp BUNDLE --tsa https://tsa.example/tsr', 'then: verify BUNDLE --tsa-ca tsa-root.pem']],
  run: async (argv, environment) => (await import('../bundles/timestamp-bundle.ts')).runTimestamp(argv, environment),
};
