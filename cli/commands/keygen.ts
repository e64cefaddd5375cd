// impound keygen
import type { Command, CommonArguments } from '../command.ts';

export interface KeygenArguments extends CommonArguments {
  readonly file?: string;
}

export const keygen: Command<KeygenArguments> = {
  usage: 'keygen [file]',
  description: 'Make a signing key (ECDSA P-256) and its public half',
  positionals: { file: 'Where to; default: $XDG_CONFIG_HOME/impound/signing.pem' },
  options: {},
  examples: [],
  run: async (argv, environment) => (await import('../local/make-key.ts')).runKeygen(argv, environment),
};
