// impound seal BUNDLE
import type { Command, CommonArguments } from '../command.ts';

export interface SealArguments extends CommonArguments {
  readonly bundle: string;
  readonly key?: string;
}

export const seal: Command<SealArguments> = {
  usage: 'seal <bundle>',
  description: 'Finish a bundle that a crash left open',
  positionals: { bundle: 'Folder of the bundle' },
  options: { key: { type: 'string', describe: 'The private key the bundle was begun with; default: your own' } },
  examples: [],
  run: async (argv, environment) => (await import('../bundles/seal-bundle.ts')).runSeal(argv, environment),
};
