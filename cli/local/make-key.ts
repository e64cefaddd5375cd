// Makes a signing key where none is, and says how it is used.
import { generateKeyFiles } from '../../evidence/index.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { KeygenArguments } from '../commands/keygen.ts';
import { defaultKeyFile } from '../key.ts';

export async function runKeygen(argv: KeygenArguments, { json, stdout, program }: Environment): Promise<ExitCode> {
  const file = argv.file ?? defaultKeyFile();
  const { keyid } = await generateKeyFiles(file);
  if (json) {
    stdout.write(`${JSON.stringify({ privateKey: file, publicKey: `${file}.pub`, keyid })}\n`);
    return 0;
  }
  stdout.write(
    `private key  ${file}      (0600: whoever has it can sign as you)\n` +
      `public key   ${file}.pub  (give it to whoever verifies)\n` +
      `fingerprint  ${keyid}\n\n` +
      `sign with    ${program} capture --local --key ${file}\n` +
      `verify with  ${program} verify BUNDLE --key ${file}.pub\n`,
  );
  return 0;
}
