// impound check --store STORE
import type { Command } from '../command.ts';
import { type ProtectionArguments, protectionOptions, type StoreArguments, storeOptions } from './store-options.ts';

export interface CheckArguments extends StoreArguments, ProtectionArguments {
  readonly store: string;
}

export const check: Command<CheckArguments> = {
  usage: 'check',
  description: 'Try whether a store can take evidence, and say what to do where it cannot',
  positionals: {},
  options: {
    store: {
      type: 'string',
      demandOption: 'say which store: --store DIRECTORY or s3://BUCKET/PREFIX',
      describe: 'Directory, or s3://BUCKET/PREFIX; in S3 two tiny objects are left there',
    },
    ...protectionOptions,
    ...storeOptions,
  },
  examples: [
    ['$0 check --store s3://evidence/ir --retain 90', 'all that "capture" needs there, Object Lock too'],
    ['$0 check --store /mnt/usb', 'a disk: hard links, room, whose disk it is'],
  ],
  run: async (argv, environment) => (await import('../stores/check-store.ts')).runCheck(argv, environment),
};
