// Seals a bundle that a crash left open.
import { readChain, records, recoverBundle, systemClock } from '../../evidence/index.ts';
import { software } from '../../evidence/software.ts';
import { localActor } from '../actor.ts';
import { openBundle } from '../bundle.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { SealArguments } from '../commands/seal.ts';
import { publicHalf, signingKey } from '../key.ts';

export async function runSeal(argv: SealArguments, environment: Environment): Promise<ExitCode> {
  const { store, path } = await openBundle(argv.bundle, argv);
  const { signer, file } = await signingKey(argv.key, environment);
  const custody = { store, signer, actor: localActor(), clock: systemClock, software: await software() };
  const head = await recoverBundle(custody, argv.abandoned);
  await store.finish();
  const stored = records((await readChain(store)).map(({ statement }) => statement));
  const recovered = stored.filter((record) => record.recovered === true);
  const truncated = recovered.filter((record) => record.truncated !== undefined).length;
  const { json, stdout, program } = environment;
  if (json)
    stdout.write(
      `${JSON.stringify({ path, head, sealed: true, artefacts: stored.length, recovered: recovered.length, truncated })}\n`,
    );
  else {
    stdout.write(`sealed  ${path}\n`);
    stdout.write(
      `holds   ${stored.length} artefacts, ${recovered.length} of them recovered, ${truncated} of these cut off\n`,
    );
    stdout.write(`head    ${head.sequence}:${head.sha256}\n`);
    stdout.write(
      `next    ${program} verify ${path} --key ${await publicHalf(file)} --head ${head.sequence}:${head.sha256}\n`,
    );
  }
  return 0;
}
