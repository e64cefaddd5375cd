// impound verify BUNDLE
import type { Command, CommonArguments } from '../command.ts';

export interface VerifyArguments extends CommonArguments {
  readonly bundle: string;
  readonly key: readonly string[];
  readonly head?: string;
  readonly strict: boolean;
  readonly allowUnsealed: boolean;
}

export const verify: Command<VerifyArguments> = {
  usage: 'verify <bundle>',
  description: 'Check every byte of a bundle and its custody chain',
  positionals: { bundle: 'Folder of the bundle' },
  options: {
    key: {
      type: 'string',
      array: true,
      nargs: 1,
      default: [],
      describe: 'Public key (PEM) that must have signed; repeatable',
    },
    head: { type: 'string', describe: 'N:SHA256 of an entry that must be on the chain: shows a tail cut off' },
    strict: { type: 'boolean', default: false, describe: 'Exit 1 unless the signer was checked against --key' },
    'allow-unsealed': {
      type: 'boolean',
      default: false,
      describe: 'Exit 0 for an unsealed bundle that is otherwise whole',
    },
  },
  examples: [['$0 verify BUNDLE --key signing.pem.pub', 'intact, and signed by that key']],
  run: async (argv, environment) => (await import('../bundles/verify-bundle.ts')).runVerify(argv, environment),
};
