// impound cat BUNDLE PATH
import type { Command } from '../command.ts';
import { BUNDLE, type StoreArguments, storeOptions } from './store-options.ts';

export interface CatArguments extends StoreArguments {
  readonly bundle: string;
  readonly path: string;
  readonly raw: boolean;
  readonly identity?: string;
}

export const cat: Command<CatArguments> = {
  usage: 'cat <bundle> <path>',
  description: 'Print one artefact, decrypted and decompressed',
  positionals: { bundle: BUNDLE, path: 'Path within it, with or without data/ and .age' },
  options: {
    raw: {
      type: 'boolean',
      default: false,
      describe: 'The stored bytes as they are: not decrypted, not decompressed, not escaped',
    },
    identity: { type: 'string', describe: 'age identity file that opens what is encrypted' },
    ...storeOptions,
  },
  examples: [
    ['$0 cat BUNDLE 10-process/processes.jsonl | jq .process.name', ''],
    ['$0 cat BUNDLE 10-process/proc.tar.zst | tar -t', ''],
    ['$0 cat BUNDLE 10-process/processes.jsonl --identity key.txt', 'of an encrypted bundle'],
  ],
  run: async (argv, environment) => (await import('../bundles/cat-artefact.ts')).runCat(argv, environment),
};
