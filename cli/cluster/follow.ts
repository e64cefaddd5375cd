// Follows one capture by the API server's watch until it is as wanted, and says why nothing goes on where nothing does.
import { setInterval as every } from 'node:timers/promises';
import { ImpoundError, type Logger } from '../../evidence/index.ts';
import { type KubernetesObject, watchObjects } from '../../kubernetes/index.ts';
import { type NodeCapture, parseNodeCapture } from '../../protocol/index.ts';
import type { Environment } from '../command.ts';
import { escapeText, styled } from '../terminal/text.ts';
import { CAPTURES } from './captures.ts';
import type { Connection } from './connect.ts';
import { agentVerdict, controllerVerdict, type Verdict } from './diagnosis.ts';
import { type ClusterProgress, clusterProgress } from './progress.ts';

const LOOK_MILLISECONDS = 1000;
/** A controller answers within a second, an agent within some. */
const CONTROLLER_SECONDS = 6;
const AGENT_SECONDS = 8;
const NO_AGENT = new Set(['AwaitingAgent', 'AgentSilent']);

export interface Following {
  readonly name: string;
  readonly until: (capture: NodeCapture) => boolean;
  /** Whether nothing is drawn: what is waited for is a moment's work. */
  readonly silent?: boolean;
  /** Told of each state as it comes. */
  readonly changed?: (capture: NodeCapture) => void;
}

/**
 * The capture as it is then; undefined where the person left before. Throws `api-missing` where somebody deleted it
 * meanwhile.
 */
export async function follow(
  connection: Connection,
  { name, until, silent = false, changed }: Following,
  environment: Environment,
): Promise<NodeCapture | undefined> {
  const { signal, stderr, quiet, json, log } = environment;
  const progress: ClusterProgress =
    quiet || json || silent ? { observe() {}, say() {}, end() {}, leave() {} } : clusterProgress(stderr);
  const ending = new AbortController();
  const done = Promise.withResolvers<NodeCapture | undefined>();
  const leave = (): void => {
    progress.leave();
    done.resolve(undefined);
  };
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  let last: NodeCapture | undefined;
  const watched = watchObjects<KubernetesObject>({
    kubernetes: connection.kubernetes,
    path: CAPTURES,
    query: { fieldSelector: `metadata.name=${name}` },
    log: quiet || json ? log : tellingLog(progress, stderr, log),
    signal: ending.signal,
    changed(_, object) {
      try {
        if (object === undefined) throw deleted(name);
        last = parseNodeCapture(object);
        progress.observe(last);
        changed?.(last);
        if (until(last)) done.resolve(last);
      } catch (error) {
        done.reject(error);
      }
    },
  });
  void watched.synced.then(() => {
    if (last === undefined && !ending.signal.aborted) done.reject(deleted(name));
  });
  const telling = tellWhy(connection, () => last, progress, stderr, ending.signal);
  try {
    return await done.promise;
  } finally {
    signal.removeEventListener('abort', leave);
    ending.abort();
    await Promise.all([watched.ended, telling]);
    progress.end();
  }
}

/** A log's lines would spoil what is drawn: that the server is away is said once, and that it is back. */
function tellingLog(progress: ClusterProgress, stream: NodeJS.WriteStream, log: Logger): Logger {
  let away = false;
  return {
    debug: () => undefined,
    error: (message, fields) => log.error(message, fields),
    warn(_, { failures, error } = {}) {
      // one that broke off is first tried again
      if (away || Number(failures) < 2) return;
      away = true;
      const text = `! the API server does not answer, and is asked on; the capture does not need this terminal: ${escapeText(String(error))}`;
      progress.say(styled('yellow', text, stream));
    },
    info() {
      if (away) progress.say('the API server answers again');
      away = false;
    },
  };
}

/** Once for each reason: what the cluster knows of a controller that does not begin, of an agent that does not. */
async function tellWhy(
  connection: Connection,
  last: () => NodeCapture | undefined,
  progress: ClusterProgress,
  stream: NodeJS.WriteStream,
  signal: AbortSignal,
): Promise<void> {
  const told = new Set<string>();
  let stuck: { readonly state: string; readonly since: number } | undefined;
  try {
    for await (const _ of every(LOOK_MILLISECONDS, undefined, { signal })) {
      const capture = last();
      const state = capture === undefined ? undefined : stuckState(capture);
      if (capture === undefined || state === undefined || state !== stuck?.state) {
        stuck = state === undefined ? undefined : { state, since: performance.now() };
        continue;
      }
      const seconds = (performance.now() - stuck.since) / 1000;
      if (told.has(state) || seconds < (state === 'Pending' ? CONTROLLER_SECONDS : AGENT_SECONDS)) continue;
      told.add(state);
      const verdict = await verdictOf(connection, capture, state);
      const prefix = state === 'Pending' ? 'the controller has not begun' : 'the agent does not answer';
      progress.say(styled('yellow', `! ${prefix}: ${escapeText(verdict.text)}`, stream));
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function verdictOf(connection: Connection, { spec }: NodeCapture, state: string): Promise<Verdict> {
  const asked = state === 'Pending' ? controllerVerdict(connection) : agentVerdict(connection, spec.node);
  // what cannot be asked now is no reason to end what is watched
  return asked.catch((error: unknown): Verdict => ({ kind: 'unknown', text: String(error) }));
}

function stuckState({ status }: NodeCapture): string | undefined {
  if (status?.phase === undefined || status.phase === 'Pending') return 'Pending';
  if (status.phase !== 'Collecting') return undefined;
  const reason = status.conditions?.find(({ type }) => type === 'Collected')?.reason ?? '';
  return NO_AGENT.has(reason) ? reason : undefined;
}

function deleted(name: string): ImpoundError {
  const message = `capture ${name} is gone: somebody deleted it, which gives the node back; its bundle stays in the store`;
  return new ImpoundError('api-missing', message, { operation: 'watch capture', thing: name });
}
