// impound collectors
import type { Command, CommonArguments } from '../command.ts';

export interface CollectorsArguments extends CommonArguments {
  readonly markdown: boolean;
}

export const collectors: Command<CollectorsArguments> = {
  usage: 'collectors',
  description: 'What is collected, in which order, and what each collector needs',
  positionals: {},
  options: { markdown: { type: 'boolean', default: false, describe: 'As the table in the documentation' } },
  examples: [],
  run: async (argv, environment) => (await import('../local/list-collectors.ts')).runCollectors(argv, environment),
};
