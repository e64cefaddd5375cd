// impound verify BUNDLE
import type { Command } from '../command.ts';
import { type ControllerArguments, controllerOptions } from './cluster-options.ts';
import { repeatable } from './repeatable.ts';
import { BUNDLE_OR_CAPTURE, type StoreArguments, storeOptions } from './store-options.ts';

export interface VerifyArguments extends StoreArguments, ControllerArguments {
  readonly reason: string;
  readonly bundle: string;
  readonly key: readonly string[];
  readonly head?: string;
  readonly tsaCa: readonly string[];
  readonly strict: boolean;
  readonly allowUnsealed: boolean;
}

export const verify: Command<VerifyArguments> = {
  usage: 'verify <bundle>',
  description: 'Check every byte of a bundle and its custody chain',
  positionals: { bundle: BUNDLE_OR_CAPTURE },
  options: {
    key: repeatable('Public key (PEM file or kms:ARN) that must have signed; repeatable'),
    head: { type: 'string', describe: 'N:SHA256 of an entry that must be on the chain: shows a tail cut off' },
    'tsa-ca': repeatable('Certificates (PEM) of time-stamp authorities that are trusted; repeatable'),
    strict: { type: 'boolean', default: false, describe: 'Exit 1 unless the signer was checked against --key' },
    'allow-unsealed': {
      type: 'boolean',
      default: false,
      describe: 'Exit 0 for an unsealed bundle that is otherwise whole',
    },
    reason: {
      type: 'string',
      default: 'verification',
      describe: 'Of a capture by its name: kept on the chain, since the controller records who reads',
    },
    ...storeOptions,
    ...controllerOptions,
  },
  examples: [['$0 verify BUNDLE --key signing.pem.pub', 'intact, and signed by that key']],
  run: async (argv, environment) => (await import('../bundles/verify-bundle.ts')).runVerify(argv, environment),
};
