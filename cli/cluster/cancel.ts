// impound cancel NAME: collecting ends, and what there is is sealed.
import type { NodeCapture } from '../../protocol/index.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { NameArguments } from '../commands/watch.ts';
import { againWith } from './again.ts';
import { getCapture, isEnded, patchCapture } from './captures.ts';
import { connect } from './connect.ts';
import { watchToEnd } from './ending.ts';
import { assertMay } from './rights.ts';
import { on } from './roles.ts';

/** 0: cancelled; 1: it had ended before. */
export async function runCancel(argv: NameArguments, environment: Environment): Promise<ExitCode> {
  await using connection = await connect(argv);
  const { name } = argv;
  await assertMay(connection, on('get list watch patch'), 'impound-responder');
  const found = await getCapture(connection, name);
  const again = againWith(argv, environment);
  if (isEnded(found)) {
    const phase = found.status?.phase ?? '';
    environment.stderr.write(`capture ${name} is ${phase} already: there is nothing to cancel\n`);
    if (environment.json) environment.stdout.write(`${JSON.stringify(found)}\n`);
    return 1;
  }
  if (!environment.quiet && !environment.json)
    environment.stderr.write(`cancelling ${name}: collecting ends, and what there is is sealed\n`);
  await patchCapture(connection, name, { cancel: true });
  let last = found;
  const changed = (capture: NodeCapture): void => {
    last = capture;
  };
  const exit = await watchToEnd(
    connection,
    { name, until: isEnded, changed, again, strict: false, triage: false, argv },
    environment,
  );
  if (exit === 130) return exit;
  return last.status?.phase === 'Failed' ? 2 : 0;
}
