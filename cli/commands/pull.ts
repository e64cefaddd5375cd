// impound pull BUNDLE DIR
import type { Command } from '../command.ts';
import { type ControllerArguments, controllerOptions } from './cluster-options.ts';
import { repeatable } from './repeatable.ts';
import { BUNDLE_OR_CAPTURE, type StoreArguments, storeOptions } from './store-options.ts';

export interface PullArguments extends StoreArguments, ControllerArguments {
  readonly bundle: string;
  readonly dir: string;
  readonly reason: string;
  readonly only: readonly string[];
  readonly identity?: string;
  readonly key?: string;
  readonly unrecorded: boolean;
}

export const pull: Command<PullArguments> = {
  usage: 'pull <bundle> <dir>',
  description: 'Fetch a bundle, verified as it comes, the access written to its custody chain first',
  positionals: {
    bundle: BUNDLE_OR_CAPTURE,
    dir: 'Folder that takes it, as DIR/BUNDLE-ID; what is whole there is kept',
  },
  options: {
    reason: {
      type: 'string',
      demandOption: 'say why the evidence is read: --reason TEXT',
      describe: 'Kept on the chain',
    },
    only: repeatable('Artefacts whose path matches this pattern ("10-process/**"), and the custody chain; repeatable'),
    identity: {
      type: 'string',
      describe: 'age identity file: also writes the decrypted artefacts, to DIR/BUNDLE-ID-plain',
    },
    key: { type: 'string', describe: 'Private key that signs the access: PEM file or kms:ARN; default: your own' },
    unrecorded: { type: 'boolean', default: false, describe: 'Read without writing to the chain' },
    ...storeOptions,
    ...controllerOptions,
  },
  examples: [
    ['$0 pull s3://evidence/ir/local/IR-7/ID ./case --reason "triage of IR-7"', 'then: verify ./case/ID'],
    ['$0 pull web-3-k4xz ./case --reason "triage of IR-7"', 'of a capture, through the controller of the cluster'],
    ['$0 pull s3://… ./case --reason triage --only "10-process/**"', 'only that, and the chain'],
  ],
  run: async (argv, environment) => (await import('../bundles/pull-bundle.ts')).runPull(argv, environment),
};
