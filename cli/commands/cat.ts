// impound cat BUNDLE PATH
import type { Command } from '../command.ts';
import { BUNDLE, type StoreArguments, storeOptions } from './store-options.ts';

export interface CatArguments extends StoreArguments {
  readonly bundle: string;
  readonly path: string;
  readonly raw: boolean;
}

export const cat: Command<CatArguments> = {
  usage: 'cat <bundle> <path>',
  description: 'Print one artefact, decompressed',
  positionals: { bundle: BUNDLE, path: 'Path within it, with or without data/' },
  options: {
    raw: { type: 'boolean', default: false, describe: 'The stored bytes as they are: not decompressed, not escaped' },
    ...storeOptions,
  },
  examples: [
    ['$0 cat BUNDLE 10-process/processes.jsonl | jq .process.name', ''],
    ['$0 cat BUNDLE 10-process/proc.tar.zst | tar -t', ''],
  ],
  run: async (argv, environment) => (await import('../bundles/cat-artefact.ts')).runCat(argv, environment),
};
