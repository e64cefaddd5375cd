// The one door to dockerode: a Docker engine's state in a few reading calls, each bounded in time and bytes.
import { stat } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import type Dockerode from 'dockerode';
import { ImpoundError } from '../../evidence/index.ts';
import { type CallContext, engineError, statusError } from './docker-error.ts';
import { LogCollector, type LogTail } from './docker-logs.ts';
import { type Modem, readBody, transport } from './docker-transport.ts';

export { type EngineStatus, engineStatus } from './docker-error.ts';
export type { LogStream, LogTail } from './docker-logs.ts';

/** An answer's body exactly as the engine sent it; `cut` says why it ends early, where the call allows that. */
export interface Answer {
  readonly raw: Buffer;
  readonly cut?: string;
}

export interface LogOptions {
  /** The container has a terminal: its log is one raw stream. */
  readonly tty: boolean;
  /** Newest lines asked for, and newest bytes kept of them. */
  readonly lines: number;
  readonly bytes: number;
}

/** `complete` is false where the engine had not sent all of the asked lines when a bound ended the call. */
export interface LogAnswer extends LogTail {
  readonly asked: number;
  readonly complete: boolean;
}

/** Reading calls of the engine's HTTP API. All may fail with engine-unreachable, engine-refused, deadline, aborted. */
export interface DockerEngine {
  readonly socket: string;
  ping(signal: AbortSignal): Promise<Answer>;
  version(signal: AbortSignal): Promise<Answer>;
  info(signal: AbortSignal): Promise<Answer>;
  containers(signal: AbortSignal): Promise<Answer>;
  inspect(id: string, signal: AbortSignal): Promise<Answer>;
  /** The engine runs `ps -ef` on the node for it. */
  top(id: string, signal: AbortSignal): Promise<Answer>;
  /**
   * One full sample. The engine takes two, a second apart, so that `precpu_stats` is filled and a rate can be said;
   * its one-shot mode answers at once but with a zero there. So it is asked for all containers at the same time.
   */
  stats(id: string, signal: AbortSignal): Promise<Answer>;
  changes(id: string, signal: AbortSignal): Promise<Answer>;
  logs(id: string, options: LogOptions, signal: AbortSignal): Promise<LogAnswer>;
  images(signal: AbortSignal): Promise<Answer>;
  image(id: string, signal: AbortSignal): Promise<Answer>;
  history(id: string, signal: AbortSignal): Promise<Answer>;
  networks(signal: AbortSignal): Promise<Answer>;
  network(id: string, signal: AbortSignal): Promise<Answer>;
  volumes(signal: AbortSignal): Promise<Answer>;
  /** What the engine still remembers (some 256 events) between two moments, in seconds since the epoch. */
  events(since: number, until: number, signal: AbortSignal): Promise<Answer>;
}

interface Bound {
  readonly seconds: number;
  readonly bytes: number;
  /** What came before a bound bit is worth having. */
  readonly partial?: true;
}

const MIB = 1_048_576;
const SMALL: Bound = { seconds: 5, bytes: 4 * MIB };
const BOUNDS = {
  ping: { seconds: 3, bytes: 65_536 },
  list: { seconds: 10, bytes: 16 * MIB },
  stats: { seconds: 6, bytes: MIB },
  // the engine walks the container's writable layer for it
  changes: { seconds: 10, bytes: 8 * MIB, partial: true },
  events: { seconds: 3, bytes: 8 * MIB, partial: true },
  // one try of several: a shorter tail is asked for where this bites
  logs: { seconds: 4, bytes: 32 * MIB },
} as const satisfies Record<string, Bound>;

/** Log tails tried in turn: the engine sends a tail's oldest line first, so only one that ends shows the newest. */
const SHORTER_TAIL = 20;
const FEWEST_LINES = 50;
const REFUSAL_BYTES = 65_536;

type Caller = (docker: Dockerode) => Promise<unknown>;

/** A Docker engine at a Unix socket. Nothing is sent before the first call but a look at what `socket` is. */
export async function openDocker(socket: string): Promise<DockerEngine> {
  await assertSocket(socket);
  // takes 0.15 s to load: only where there is a socket
  const { default: Docker } = await import('dockerode');
  const place = transport(socket);
  const begin = (signal: AbortSignal): Dockerode => {
    const options: Dockerode.DockerOptions & { readonly modem: Modem } = { modem: place.modem(signal) };
    return new Docker(options);
  };
  const ask = (operation: string, bound: Bound, caller: AbortSignal, call: Caller): Promise<Answer> =>
    bounded(operation, socket, bound, caller, async (deadline, context) => {
      const response = await respond(begin(deadline), call, context);
      return readAnswer(response, bound, context);
    });
  return {
    socket,
    ping: async (signal) => {
      const answer = await ask('ping', BOUNDS.ping, signal, (docker) => docker.ping());
      if (answer.raw.toString('latin1').trim() === 'OK') return answer;
      const context = { operation: 'ping', thing: socket };
      throw new ImpoundError(
        'engine-refused',
        'what answers is not a Docker engine: its ping says something else',
        context,
      );
    },
    version: (signal) => ask('version', SMALL, signal, (docker) => docker.version()),
    info: (signal) => ask('info', SMALL, signal, (docker) => docker.info()),
    containers: (signal) =>
      ask('list containers', BOUNDS.list, signal, (docker) => docker.listContainers({ all: true })),
    inspect: (id, signal) => ask('inspect', SMALL, signal, (docker) => docker.getContainer(id).inspect()),
    top: (id, signal) => ask('top', SMALL, signal, (docker) => docker.getContainer(id).top({ ps_args: '-ef' })),
    stats: (id, signal) =>
      ask('stats', BOUNDS.stats, signal, (docker) =>
        docker.getContainer(id).stats({ stream: false, 'one-shot': false }),
      ),
    changes: (id, signal) => ask('changes', BOUNDS.changes, signal, (docker) => docker.getContainer(id).changes()),
    logs: (id, options, caller) => logs(socket, begin, id, options, caller),
    images: (signal) =>
      ask('list images', BOUNDS.list, signal, (docker) => docker.listImages({ all: true, digests: true })),
    image: (id, signal) => ask('inspect image', SMALL, signal, (docker) => docker.getImage(id).inspect()),
    history: (id, signal) => ask('image history', SMALL, signal, (docker) => docker.getImage(id).history()),
    networks: (signal) => ask('list networks', SMALL, signal, (docker) => docker.listNetworks()),
    network: (id, signal) => ask('inspect network', SMALL, signal, (docker) => docker.getNetwork(id).inspect()),
    volumes: (signal) => ask('list volumes', BOUNDS.list, signal, (docker) => docker.listVolumes()),
    events: (since, until, signal) =>
      ask('events', BOUNDS.events, signal, (docker) => docker.getEvents({ since, until })),
  };
}

/** A FIFO or a device would hang whoever connects to it: only a socket is. */
async function assertSocket(socket: string): Promise<void> {
  const context = { operation: 'open', thing: socket };
  const found = await stat(socket).catch((error: unknown) => {
    const never = new AbortController().signal;
    throw engineError(error, { operation: 'open', thing: socket, seconds: 0, caller: never, deadline: never });
  });
  if (!found.isSocket()) throw new ImpoundError('engine-refused', 'what is there is not a socket', context);
}

async function bounded<T>(
  operation: string,
  thing: string,
  bound: Bound,
  caller: AbortSignal,
  work: (signal: AbortSignal, context: CallContext) => Promise<T>,
): Promise<T> {
  const deadline = AbortSignal.timeout(bound.seconds * 1000);
  const context: CallContext = { operation, thing, seconds: bound.seconds, caller, deadline };
  try {
    return await work(AbortSignal.any([caller, deadline]), context);
  } catch (error) {
    throw engineError(error, context);
  }
}

/** dockerode's promise is of the modem's answer, whatever its types say: the transport's response. */
async function respond(docker: Dockerode, call: Caller, context: CallContext): Promise<IncomingMessage> {
  const response = (await call(docker)) as IncomingMessage;
  const status = response.statusCode ?? 0;
  if (status === 200) return response;
  const { raw } = await readBody(response, REFUSAL_BYTES);
  throw statusError(status, raw, context);
}

async function readAnswer(response: IncomingMessage, bound: Bound, context: CallContext): Promise<Answer> {
  const chunks: Buffer[] = [];
  try {
    const { raw, cut } = await readBody(response, bound.bytes, chunks);
    if (!cut) return { raw };
    if (bound.partial)
      return { raw, cut: `only the first ${bound.bytes} bytes of the answer were read; the rest is not known` };
    const message = `the answer is longer than ${bound.bytes} bytes; how much was left is not known`;
    throw new ImpoundError('content-too-large', message, { operation: context.operation, thing: context.thing });
  } catch (error) {
    if (!bound.partial || chunks.length === 0 || !context.deadline.aborted) throw error;
    return {
      raw: Buffer.concat(chunks),
      cut: `the answer had not ended after ${bound.seconds} s; the rest is not known`,
    };
  }
}

async function logs(
  socket: string,
  begin: (signal: AbortSignal) => Dockerode,
  id: string,
  options: LogOptions,
  caller: AbortSignal,
): Promise<LogAnswer> {
  for (let lines = options.lines; ; lines = Math.max(FEWEST_LINES, Math.ceil(lines / SHORTER_TAIL))) {
    const answer = await bounded('logs', socket, BOUNDS.logs, caller, (signal, context) =>
      logTail(begin(signal), id, { ...options, lines }, context),
    );
    if (answer.complete || lines <= FEWEST_LINES || caller.aborted) return answer;
  }
}

async function logTail(docker: Dockerode, id: string, options: LogOptions, context: CallContext): Promise<LogAnswer> {
  const query = { follow: false, stdout: true, stderr: true, timestamps: true, tail: options.lines } as const;
  const response = await respond(docker, (engine) => engine.getContainer(id).logs(query), context);
  const type = response.headers['content-type'] ?? '';
  // engines since API 1.42 say where it is in frames
  const collector = new LogCollector(options.bytes, options.tty && !type.includes('multiplexed-stream'));
  let read = 0;
  let complete = true;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      collector.push(chunk);
      read += chunk.length;
      if (read > BOUNDS.logs.bytes) {
        complete = false;
        break;
      }
    }
  } catch (error) {
    if (!context.deadline.aborted || read === 0) throw error;
    complete = false;
  } finally {
    response.destroy();
  }
  return { ...collector.end(), asked: options.lines, complete };
}
