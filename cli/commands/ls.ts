// impound ls BUNDLE
import type { Command, CommonArguments } from '../command.ts';

export interface LsArguments extends CommonArguments {
  readonly bundle: string;
  readonly custody: boolean;
}

export const ls: Command<LsArguments> = {
  usage: 'ls <bundle>',
  description: 'List artefacts, sizes and gaps of a bundle, or its custody chain',
  positionals: { bundle: 'Folder of the bundle' },
  options: { custody: { type: 'boolean', default: false, describe: 'The custody chain instead' } },
  examples: [['$0 ls BUNDLE --custody', 'who did what, and when']],
  run: async (argv, environment) => (await import('../bundles/list-bundle.ts')).runLs(argv, environment),
};
