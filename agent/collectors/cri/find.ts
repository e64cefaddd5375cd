// Which of the candidate sockets a CRI runtime and a containerd answer at. All that do are asked: a node may have two.
import { type GapReport, gap } from '../../../capture/index.ts';
import { describeError } from '../../../evidence/index.ts';
import type { NodeContext } from '../../context.ts';
import { type Containerd, distinctSockets, openContainerd, SERVICES } from '../../runtime/containerd.ts';
import { type Cri, openCri, RUNTIME } from '../../runtime/cri.ts';
import type { AskOptions } from '../../runtime/grpc.ts';
import { grpcStatus, isNotThere, STATUS } from '../../runtime/grpc-error.ts';
import { runtimeGap } from './gaps.ts';

/** For the first answer, which costs a server nothing. */
const FIRST_SECONDS = 3;

export interface Runtimes {
  readonly cri: readonly Cri[];
  readonly containerd: readonly Containerd[];
  readonly gaps: readonly GapReport[];
}

/** The caller closes what is found. */
export async function findRuntimes(context: NodeContext): Promise<Runtimes> {
  const [cri, containerd] = await Promise.all([
    answering(context, { ...CRI, sockets: context.criSockets }),
    answering(context, { ...CONTAINERD, sockets: context.containerdSockets }),
  ]);
  const gaps = [...cri.gaps, ...containerd.gaps];
  const own = new Set(containerd.found.map(({ socket }) => socket));
  for (const socket of cri.lacking) gaps.push(withoutCri(socket, own.has(socket)));
  if (cri.found.length === 0 && cri.gaps.length === 0 && cri.lacking.length === 0)
    gaps.push(await silence(context, CRI, context.criSockets));
  if (containerd.found.length === 0 && containerd.gaps.length === 0)
    gaps.push(await silence(context, CONTAINERD, context.containerdSockets));
  return { cri: cri.found, containerd: containerd.found, gaps };
}

interface Kind<T> {
  readonly name: string;
  readonly option: 'cri' | 'containerd';
  /** As /proc/PID/comm has it. */
  readonly programs: ReadonlySet<string>;
  readonly calls: string;
  open(socket: string): Promise<T>;
  greet(server: T, options: AskOptions): Promise<unknown>;
}

const CRI: Kind<Cri> = {
  name: 'CRI runtime',
  option: 'cri',
  programs: new Set(['containerd', 'crio', 'k3s-server', 'k3s-agent', 'cri-dockerd']),
  calls: 'CRI, reading calls only',
  open: openCri,
  greet: (server, options) => server.ask(RUNTIME, 'Version', {}, options),
};

const CONTAINERD: Kind<Containerd> = {
  name: 'containerd',
  option: 'containerd',
  programs: new Set(['containerd']),
  calls: "containerd's API, reading calls only",
  open: openContainerd,
  greet: (server, options) => server.ask(SERVICES.version, 'Version', {}, options),
};

interface Answering<T> {
  readonly found: T[];
  readonly gaps: GapReport[];
  /** Sockets of a gRPC server without these services. */
  readonly lacking: string[];
}

async function answering<T extends Cri | Containerd>(
  context: NodeContext,
  kind: Kind<T> & { readonly sockets: readonly string[] },
): Promise<Answering<T>> {
  const result: Answering<T> = { found: [], gaps: [], lacking: [] };
  const tries = (await distinctSockets(kind.sockets)).map(async (socket) => {
    const name = `unix://${socket}`;
    let server: T | undefined;
    try {
      server = await kind.open(socket);
      context.footprint({ kind: 'connection', name, detail: kind.calls });
      await kind.greet(server, { signal: context.signal, seconds: FIRST_SECONDS });
      return server;
    } catch (error) {
      server?.close();
      if (grpcStatus(error) === STATUS.unimplemented) result.lacking.push(socket);
      else if (!isNotThere(error)) result.gaps.push(runtimeGap(error, `${kind.name} at ${name}`, context.signal));
      return undefined;
    }
  });
  // in the order they were named, whoever is faster
  for (const server of await Promise.all(tries)) if (server !== undefined) result.found.push(server);
  return result;
}

/** dockerd's containerd has no CRI; what it holds is then had by its own API. */
function withoutCri(socket: string, isContainerd: boolean): GapReport {
  const name = `CRI runtime at unix://${socket}`;
  return isContainerd
    ? gap('absent', name, 'this containerd has its CRI plugin switched off, or knows an older CRI than v1')
    : gap('unsupported', name, 'what answers there does not know CRI v1');
}

async function silence(
  context: NodeContext,
  { name, option, programs }: Pick<Kind<unknown>, 'name' | 'option' | 'programs'>,
  sockets: readonly string[],
): Promise<GapReport> {
  const tried = sockets.map((socket) => `unix://${socket}`).join(', ');
  const how = `name its socket with ${context.namedBy(option)}`;
  const nobody = `no ${name} answers at ${tried || 'any socket'}`;
  const processes = await context.walk.index().catch((error: unknown) => {
    context.log.debug('the walk over /proc failed', { error: describeError(error) });
    return [];
  });
  // one in a container is another engine, with containers of its own
  const running = processes.find(({ comm, container }) => programs.has(comm) && container?.containerId === undefined);
  if (running === undefined) return gap('absent', name, `${nobody}; where it listens elsewhere, ${how}`);
  return gap('failed', name, `${nobody}, and ${running.comm} runs as pid ${running.pid}: ${how}`);
}
