// Seals a bundle that a crash left open.
import { recoverBundle, systemClock } from '../../evidence/index.ts';
import { localActor } from '../actor.ts';
import { openBundle } from '../bundle.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { SealArguments } from '../commands/seal.ts';
import { signingKey } from '../key.ts';
import { software } from '../version.ts';

export async function runSeal(argv: SealArguments, environment: Environment): Promise<ExitCode> {
  const { store, path } = await openBundle(argv.bundle);
  await store.assertIdle();
  const { signer, file } = await signingKey(argv.key, environment);
  const head = await recoverBundle({
    store,
    signer,
    actor: localActor(),
    clock: systemClock,
    software: await software(),
  });
  await store.finish();
  const { json, stdout, program } = environment;
  if (json) stdout.write(`${JSON.stringify({ path, head, sealed: true })}\n`);
  else {
    stdout.write(`sealed  ${path}\nhead    ${head.sequence}:${head.sha256}\n`);
    stdout.write(`next    ${program} verify ${path} --key ${file} --head ${head.sequence}:${head.sha256}\n`);
  }
  return 0;
}
