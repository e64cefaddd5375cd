// The controller: does one lead, how many stand by, is its certificate good, its clock, its key, its store.
import { setTimeout as sleep } from 'node:timers/promises';
import type { CheckReply } from '../../../protocol/index.ts';
import { counted, formatAge } from '../../terminal/text.ts';
import type { Connection } from '../connect.ts';
import {
  controllerPods,
  controllerVerdict,
  isReady,
  LEASE_SECONDS,
  lastEnd,
  leaderLease,
  type PodObject,
  troubleOf,
} from '../diagnosis.ts';
import { lacking } from '../rights.ts';
import { SEE } from '../roles.ts';
import type { Asked, Seen } from './ask.ts';
import { type Finding, failedToAsk, ok, trouble, unknown, unseen, warning } from './finding.ts';

const RENEWED_MILLISECONDS = 8000;
const LOOK_MILLISECONDS = 1000;
/** Names of the certificate's end: a month is time to see to it, a week is not. */
const WARN_DAYS = 30;
const TROUBLE_DAYS = 7;
const DAY = 86_400_000;
/** A date in a header has whole seconds. */
const SKEW_SECONDS = 2;
const KEYID_SHOWN = 16;

export async function controllerFindings(connection: Connection, asked: Asked): Promise<readonly Finding[]> {
  const [leader, replicas] = await Promise.all([
    leaderFinding(connection).catch((error: unknown) => failedToAsk('leader', error)),
    replicaFindings(connection).catch((error: unknown) => [failedToAsk('replicas', error)]),
  ]);
  return [leader, ...replicas, ...reachFindings(asked), ...replyFindings(asked)];
}

async function leaderFinding(connection: Connection): Promise<Finding> {
  const name = 'leader';
  const { namespace } = connection;
  const missing = await lacking(connection, [SEE.lease]);
  if (missing.length > 0) return unseen(name, missing, namespace);
  const read = async () => {
    const lease = await leaderLease(connection);
    return (lease === 'missing' ? undefined : lease?.spec) ?? {};
  };
  const first = await read();
  const { holderIdentity, renewTime } = first;
  const seconds = Math.round((Date.now() - Date.parse(renewTime ?? '')) / 1000);
  if (holderIdentity && Math.abs(seconds) < LEASE_SECONDS)
    return ok(name, `${holderIdentity}, heard ${Math.max(0, seconds)} s ago`);
  // by this machine's clock, which may be wrong: one that leads renews its lease
  for (const end = Date.now() + RENEWED_MILLISECONDS; holderIdentity && Date.now() < end; ) {
    await sleep(LOOK_MILLISECONDS);
    const next = await read();
    if (next.holderIdentity && next.renewTime !== renewTime)
      return warning(
        name,
        `${next.holderIdentity} leads; by its clock this machine's is ${formatAge(Math.abs(seconds))} ${seconds > 0 ? 'ahead' : 'behind'}`,
        "set this machine's clock",
      );
  }
  const { text } = await controllerVerdict(connection);
  const [seen = '', ...commands] = text.split(/: (?=kubectl)/);
  return trouble(name, seen, commands.join(': '));
}

/** Phases of pods that are only still listed. */
const OVER: readonly string[] = ['Succeeded', 'Failed'];

async function replicaFindings(connection: Connection): Promise<readonly Finding[]> {
  const name = 'replicas';
  const { namespace } = connection;
  const missing = await lacking(connection, [SEE.pods]);
  if (missing.length > 0) return [unseen(name, missing, namespace)];
  const pods = (await controllerPods(connection)).filter(({ status }) => !OVER.includes(status?.phase ?? ''));
  const look = `kubectl -n ${namespace} get pods; kubectl -n ${namespace} logs deployment/impound-controller`;
  if (pods.length === 0) return [trouble(name, `there is no pod of the controller in ${namespace}`, look)];
  const ill = pods.filter((pod) => !isReady(pod));
  const well = pods.filter(isReady);
  const nodes = [...new Set(well.map(({ spec }) => spec.nodeName ?? ''))];
  const seen = `${well.length} ready, on ${nodes.join(' and ') || 'no node'}`;
  const restarted = well.flatMap((pod) => {
    const count = restartsOf(pod);
    return count === 0
      ? []
      : [warning(name, `${pod.metadata.name} was started again ${count} times${endOf(pod)}`, look)];
  });
  const troubled = ill.map((pod) =>
    trouble(
      name,
      `${pod.metadata.name} ${troubleOf(pod)}`,
      `kubectl -n ${namespace} describe pod ${pod.metadata.name}; kubectl -n ${namespace} logs ${pod.metadata.name}`,
    ),
  );
  if (nodes.length >= 2) return [ok(name, seen), ...troubled, ...restarted];
  const why = 'where that node is the suspect, nobody can capture it';
  const scale = `let another run elsewhere: kubectl -n ${namespace} scale deployment/impound-controller --replicas=2`;
  const below = nodes.length === 0 ? 'see them below' : 'see the other one below';
  const remedy = pods.length < 2 ? scale : below;
  return [(nodes.length === 0 ? trouble : warning)(name, `${seen}: ${why}`, remedy), ...troubled, ...restarted];
}

function restartsOf({ status }: PodObject): number {
  return (status?.containerStatuses ?? []).reduce((sum, { restartCount = 0 }) => sum + restartCount, 0);
}

function endOf({ status }: PodObject): string {
  const ended = status?.containerStatuses?.find(({ lastState }) => lastState?.terminated !== undefined);
  return ended === undefined ? '' : lastEnd(ended);
}

/** Connection, certificate, clock. */
function reachFindings({ seen }: Asked): readonly Finding[] {
  if (seen.kind === 'reached') return [ok('reached', seen.way), certificateFinding(seen), clockFinding(seen)];
  return [(seen.kind === 'failed' ? trouble : unknown)('reached', seen.text, seen.remedy)];
}

function certificateFinding({ ends }: Extract<Seen, { kind: 'reached' }>): Finding {
  const days = Math.floor((ends.getTime() - Date.now()) / DAY);
  const text = `of the authority that agents trust; it ends ${ends.toISOString().slice(0, 10)}, in ${counted(days, 'day')}`;
  const remedy = 'renew the Secret impound-controller-tls (docs/install.md): it is read again when it changes';
  if (days < TROUBLE_DAYS) return trouble('certificate', text, remedy);
  return days < WARN_DAYS ? warning('certificate', text, remedy) : ok('certificate', text);
}

function clockFinding({ skewSeconds }: Extract<Seen, { kind: 'reached' }>): Finding {
  if (Math.abs(skewSeconds) <= SKEW_SECONDS) return ok('clock', `this machine's, within ${SKEW_SECONDS} s`);
  const text = `${Math.round(Math.abs(skewSeconds))} s ${skewSeconds > 0 ? 'ahead of' : 'behind'} this machine's`;
  return warning('clock', text, 'set whichever is wrong: times in evidence are those of node and controller');
}

/** Key and store, by the controller's own word. */
function replyFindings({ reply }: Asked): readonly Finding[] {
  if (reply.kind === 'answered') return [keyFinding(reply.value), ...storeFindings(reply.value)];
  return [(reply.kind === 'failed' ? trouble : unknown)('key and store', reply.text, reply.remedy)];
}

function keyFinding({ key }: CheckReply): Finding {
  const text = `${key.kind}, ${key.keyid.slice(0, KEYID_SHOWN)}…`;
  if (key.signs === undefined) return unknown('key', `${text}, not tried`, NOT_TRIED);
  if (key.signs) return ok('key', `${text}: it signs, in ${key.milliseconds} ms`);
  return trouble(
    'key',
    `${text}: it does not sign: ${key.problem ?? ''}`,
    'see the controller’s log; docs/operations.md, "Keys"',
  );
}

const NOT_TRIED = 'who may create nodecaptures can have it tried: the role impound-responder';

function storeFindings({ store: { url, check } }: CheckReply): readonly Finding[] {
  if (check === undefined) return [unknown('store', `${url}, not tried`, NOT_TRIED)];
  const { refusal } = check;
  const first =
    refusal === undefined
      ? ok('store', `${url} can take evidence, as the controller reaches it`)
      : trouble('store', refusal.message, 'see what failed; the credentials are those of the controller’s pods');
  const rest = check.checks.flatMap(
    ({ name, outcome, needed, seen, remedy = 'see docs/aws.md' }): readonly Finding[] => {
      if (outcome === 'failed') return [(needed ? trouble : warning)(`store: ${name}`, seen, remedy)];
      return outcome === 'warning' ? [warning(`store: ${name}`, seen, remedy)] : [];
    },
  );
  return [first, ...rest];
}
