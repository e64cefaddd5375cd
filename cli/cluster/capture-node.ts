// impound capture NODE: asks whether one may, shows the plan, creates the NodeCapture, and watches it to its end.
import { ImpoundError } from '../../evidence/index.ts';
import { FINALIZER, type NodeCapture, type NodeCaptureSpec, parseNodeCapture } from '../../protocol/index.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { CaptureArguments } from '../commands/capture.ts';
import { againWith } from './again.ts';
import { CAPTURES, isEnded, notInstalled } from './captures.ts';
import { type Connection, connect } from './connect.ts';
import { watchToEnd } from './ending.ts';
import { nodeFacts } from './node-facts.ts';
import { printPlan } from './plan.ts';
import { nameFor, requestOf } from './request.ts';
import { assertMay } from './rights.ts';
import { on } from './roles.ts';

/** Of names made at random: two that are the same are a rare accident. */
const TRIES = 5;

export async function captureNode(argv: CaptureArguments, node: string, environment: Environment): Promise<ExitCode> {
  // what is wrong with the words is said before anybody is asked
  await requestOf(argv, node, 'you');
  await using connection = await connect(argv);
  const spec = await requestOf(argv, node, connection.user);
  await assertMay(connection, on('create get list watch'), 'impound-responder');
  const facts = await nodeFacts(connection, node, spec.cordon);
  const { json, quiet, stdout, stderr } = environment;
  const plan = { name: argv.name ?? nameFor(node), spec, facts };
  if (argv.dryRun) {
    await createNamed(connection, plan.name, spec, { mayRename: false, dryRun: true });
    if (json) stdout.write(`${JSON.stringify(plan)}\n`);
    else {
      printPlan(plan, stdout);
      stdout.write('nothing was created (--dry-run)\n');
    }
    return 0;
  }
  if (!json && !quiet) printPlan(plan, stderr);
  if (environment.signal.aborted) {
    stderr.write('nothing was created\n');
    return 130;
  }
  const created = await createNamed(connection, plan.name, spec, { mayRename: argv.name === undefined });
  const { name } = created.metadata;
  const again = againWith(argv, environment);
  if (argv.detach) {
    if (json) stdout.write(`${JSON.stringify(created)}\n`);
    else stdout.write(`${again(`watch ${name}`)}\n`);
    return 0;
  }
  if (!json && !quiet) stderr.write('\n');
  const { strict, triage } = argv;
  return watchToEnd(connection, { name, until: isEnded, again, strict, triage, argv }, environment);
}

async function createNamed(
  connection: Connection,
  name: string,
  spec: NodeCaptureSpec,
  { mayRename, dryRun = false }: { readonly mayRename: boolean; readonly dryRun?: boolean },
): Promise<NodeCapture> {
  for (let tries = 1; ; tries++) {
    try {
      return await create(connection, tries === 1 ? name : nameFor(spec.node), spec, dryRun);
    } catch (error) {
      const taken = error instanceof ImpoundError && error.code === 'api-conflict';
      if (taken && mayRename && tries < TRIES) continue;
      if (!taken) throw error;
      const message = `there is a capture ${name} already: give another --name, or watch that one`;
      throw new ImpoundError('api-conflict', message, { operation: 'create capture', thing: name, cause: error });
    }
  }
}

async function create(
  { kubernetes, ...connection }: Connection,
  name: string,
  spec: NodeCaptureSpec,
  dryRun: boolean,
): Promise<NodeCapture> {
  const query = { fieldValidation: 'Strict', ...(dryRun ? { dryRun: 'All' } : {}) };
  const made = async (metadata: object): Promise<NodeCapture> => {
    const body = { apiVersion: 'impound.dev/v1alpha1', kind: 'NodeCapture', metadata, spec };
    return parseNodeCapture(await kubernetes.create(CAPTURES, body, { query }));
  };
  try {
    // with the controller's finalizer from its first moment: the controller need not write it before it begins
    return await made({ name, finalizers: [FINALIZER] }).catch((error: unknown) => {
      // the policy of an older installation leaves that to the controller
      if (!(error instanceof ImpoundError && error.code === 'api-denied')) throw error;
      if (!error.message.includes('metadata.finalizers')) throw error;
      return made({ name });
    });
  } catch (error) {
    throw (error instanceof ImpoundError && (await notInstalled({ kubernetes, ...connection }, error))) || error;
  }
}
