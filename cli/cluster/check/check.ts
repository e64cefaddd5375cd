// impound check: will a capture work in this cluster? Each thing it needs is looked at or tried, with what to do about it.
import type { Environment, ExitCode } from '../../command.ts';
import type { ClusterCheckArguments } from '../../commands/check.ts';
import { connect } from '../connect.ts';
import { agentFindings } from './agents.ts';
import { apiFindings } from './api.ts';
import { askController } from './ask.ts';
import { controllerFindings } from './controller.ts';
import { type Finding, failedToAsk, type Group } from './finding.ts';
import { printCheck, type Verdict } from './print.ts';
import { yourFindings } from './you.ts';

const EXITS: Readonly<Record<Verdict, ExitCode>> = { well: 0, troubled: 1, unknown: 2 };

/** 0: all is well; 1: something is not; 2: something could not be asked. */
export async function runClusterCheck(argv: ClusterCheckArguments, environment: Environment): Promise<ExitCode> {
  await using connection = await connect(argv);
  const { json, quiet, stdout, stderr } = environment;
  const nodes = argv.node.length === 0 ? undefined : [...new Set(argv.node)];
  if (!json && !quiet && stderr.isTTY) stderr.write('the controller tries its key, its store, and its agents\r');
  const told = (name: string, findings: Promise<readonly Finding[]>): Promise<readonly Finding[]> =>
    findings.catch((error: unknown) => [failedToAsk(name, error)]);
  const asked = askController(connection, argv, nodes);
  const [cluster, you, controller, agents] = await Promise.all([
    told('cluster', apiFindings(connection)),
    told('rights', yourFindings(connection)),
    told(
      'controller',
      asked.then((one) => controllerFindings(connection, one)),
    ),
    told(
      'agents',
      asked.then((one) => agentFindings(connection, one, nodes)),
    ),
  ]);
  if (!json && !quiet && stderr.isTTY) stderr.write('\x1b[2K\r');
  const groups: readonly Group[] = [
    { title: 'cluster', findings: cluster },
    { title: 'your roles', findings: you },
    { title: 'controller', findings: controller },
    { title: nodes === undefined ? 'agents' : `agent of ${nodes.join(', ')}`, findings: agents },
  ];
  const verdict = verdictOf(groups);
  if (json) {
    const checks = groups.flatMap(({ title, findings }) => findings.map((finding) => ({ group: title, ...finding })));
    stdout.write(`${JSON.stringify({ verdict, checks })}\n`);
  } else printCheck(groups, verdict, stdout);
  return EXITS[verdict];
}

function verdictOf(groups: readonly Group[]): Verdict {
  const outcomes = new Set(groups.flatMap(({ findings }) => findings.map(({ outcome }) => outcome)));
  if (outcomes.has('trouble')) return 'troubled';
  return outcomes.has('unknown') ? 'unknown' : 'well';
}
