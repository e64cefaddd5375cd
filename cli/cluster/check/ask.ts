// Reaches the controller as `pull` does, looks at its certificate and clock, and asks what it knows and can find out.
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { certificateCode, describeError, ImpoundError } from '../../../evidence/index.ts';
import { type CheckReply, checkReply } from '../../../protocol/index.ts';
import type { ControllerArguments } from '../../commands/cluster-options.ts';
import { bearer } from '../capture-bundle.ts';
import type { Connection } from '../connect.ts';
import { type ControllerClient, controllerClient } from '../controller-client.ts';
import { controllerTarget, type Target } from '../controller-target.ts';
import { agentPods, isReady } from '../diagnosis.ts';
import { ifMay, lacking } from '../rights.ts';
import { SEE } from '../roles.ts';

/** Of 5,000 nodes, each with what became of its try. */
const MAX_BYTES = 8 * 1024 * 1024;
/** A replica that has just come to lead has not heard of all agents. */
export const GATHER_SECONDS = 30;
const GATHER_LOOK_MILLISECONDS = 1000;

interface Problem {
  readonly kind: 'unknown' | 'failed';
  readonly text: string;
  readonly remedy: string;
}

export type Seen =
  | Problem
  | { readonly kind: 'reached'; readonly way: string; readonly ends: Date; readonly skewSeconds: number };

interface Answered {
  readonly kind: 'answered';
  readonly value: CheckReply;
}

export type Reply = Problem | Answered;

export interface Asked {
  readonly seen: Seen;
  readonly reply: Reply;
}

const OTHER_VERSION: Problem = {
  kind: 'unknown',
  text: 'the controller answers in words of another version',
  remedy: 'use the command line of its version',
};
const NOT_REACHED: Problem = { kind: 'unknown', text: 'the controller was not reached', remedy: 'see above' };

/** Never throws. `nodes`: whose way to the store is tried, all where absent. */
export async function askController(
  connection: Connection,
  argv: ControllerArguments,
  nodes: readonly string[] | undefined,
): Promise<Asked> {
  let target: Target;
  try {
    target = await controllerTarget(connection, argv);
  } catch (error) {
    const problem = problemOf(error);
    return { seen: problem, reply: NOT_REACHED };
  }
  const anybody = controllerClient(target, async () => '');
  const person = controllerClient(target, () => bearer(connection));
  try {
    const seen = await see(anybody, argv).catch(problemOf);
    if (seen.kind !== 'reached') return { seen, reply: NOT_REACHED };
    return { seen, reply: await ask(connection, argv, person, nodes).catch(problemOf) };
  } finally {
    anybody.close();
    person.close();
  }
}

async function see(client: ControllerClient, { controller }: ControllerArguments): Promise<Seen> {
  const sent = Date.now();
  const answer = await client.ask({ path: '/healthz' });
  const received = Date.now();
  const certificate = (answer.socket as TLSSocket).getPeerCertificate();
  answer.resume();
  // whole seconds: the middle of that one
  const theirs = Date.parse(answer.headers.date ?? '') + 500;
  return {
    kind: 'reached',
    way: `${controller ?? 'by port-forward to one of its pods'}, in ${received - sent} ms`,
    ends: new Date(certificate.valid_to),
    skewSeconds: Number.isNaN(theirs) ? 0 : (theirs - (sent + received) / 2) / 1000,
  };
}

async function ask(
  connection: Connection,
  { as }: ControllerArguments,
  client: ControllerClient,
  nodes: readonly string[] | undefined,
): Promise<Reply> {
  if (as !== undefined)
    return {
      kind: 'unknown',
      text: 'the controller knows you by your own token, and takes no --as',
      remedy: 'ask without --as',
    };
  const missing = await lacking(connection, [{ verb: 'list' }, { verb: 'create' }]);
  if (missing.some(({ verb }) => verb === 'list'))
    return {
      kind: 'unknown',
      text: 'you may not list nodecaptures',
      remedy: 'each of the roles but impound-containment has it',
    };
  const known = await gathered(connection, client, nodes);
  if (known === undefined || missing.length > 0) return known ?? OTHER_VERSION;
  const json = nodes === undefined ? {} : { nodes };
  return (await read(client, { json })) ?? OTHER_VERSION;
}

/** What the controller knows, once it leads for long enough to have heard of every agent whose pod is ready. */
async function gathered(
  connection: Connection,
  client: ControllerClient,
  nodes: readonly string[] | undefined,
): Promise<Answered | undefined> {
  for (;;) {
    const reply = await read(client);
    if (reply === undefined || reply.value.replica.leadsSeconds >= GATHER_SECONDS) return reply;
    const heard = new Set(reply.value.agents.map(({ node }) => node));
    const pods = (await ifMay(connection, SEE.pods, () => agentPods(connection))) ?? [];
    const wanted = pods.filter(isReady).map(({ spec }) => spec.nodeName ?? '');
    if (wanted.every((node) => heard.has(node) || nodes?.includes(node) === false)) return reply;
    await sleep(GATHER_LOOK_MILLISECONDS);
  }
}

/** Undefined where it speaks in words of another version. */
async function read(client: ControllerClient, trial: { readonly json?: object } = {}): Promise<Answered | undefined> {
  const { data } = checkReply.safeParse(await client.json({ path: '/v1/check', ...trial }, MAX_BYTES));
  return data === undefined ? undefined : { kind: 'answered', value: data };
}

function problemOf(error: unknown): Problem {
  const text = describeError(error);
  const code = error instanceof ImpoundError ? error.code : undefined;
  const [said = text, way] = text.split(/: (?=use a context )/);
  if (way !== undefined) return { kind: 'unknown', text: said, remedy: `${way} (docs/install.md, "Who may what")` };
  if (code === 'api-denied' || code === 'controller-denied') {
    const [seen = text] = text.split(/\. (?=Ask )/);
    return { kind: 'unknown', text: seen, remedy: 'the role impound-responder has all of it' };
  }
  if (code === 'controller-refused' && text.endsWith('ask again'))
    return { kind: 'unknown', text, remedy: 'it takes a minute at most' };
  if (code === 'object-missing')
    return { kind: 'unknown', text: 'the controller is of a version that cannot be asked', remedy: 'upgrade it' };
  const isCertificate = error instanceof Error && certificateCode(error.cause) !== undefined;
  const remedy = isCertificate
    ? 'renew the Secret impound-controller-tls, or the authority in the ConfigMap impound-ca (docs/install.md): agents see the same'
    : 'see the rows above; --controller https://HOST:PORT is another way';
  return { kind: 'failed', text, remedy };
}
