// The one TLS server: takes requests within limits, finds their route, and answers them; it ends in order.
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { totalmem } from 'node:os';
import { type Clock, describeError, ImpoundError, type Logger, systemClock, within } from '../../evidence/index.ts';
import { type Exchange, problemOf, STALL_MILLISECONDS, sendProblem, sendReply } from './answer.ts';
import { makeCall } from './call.ts';
import { type Certificates, readPair, stateOf, type TlsFiles, watchPair } from './certificate.ts';
import { Problem } from './problem.ts';
import type { Route } from './route.ts';
import { makeRouter, type Router } from './router.ts';

const MAX_HEADER_BYTES = 24 * 1024;
/**
 * One with a long poll takes 76 KiB of the process, measured with 1,000 and with 4,000 of them: so many are taken as fit into
 * half of its memory. Of 512 MiB these would be 3,276: 1,000 nodes' agents, 50 captures among them, and people.
 */
const CONNECTION_BYTES = 80 * 1024;
const FEWEST_CONNECTIONS = 512;
const MOST_CONNECTIONS = 16_384;
/** A client may be behind a port-forward or an Ingress with others, but nobody takes all. An agent has 16 at most. */
const MAX_CONNECTIONS_OF_ADDRESS = 256;
/** Requests that a client sends on one connection without awaiting their answers. */
const MAX_PIPELINED = 4;
const HEADERS_MILLISECONDS = 10_000;
/** For a body: 16 MiB at half a megabit. */
const REQUEST_MILLISECONDS = 300_000;
/** Longer than a long poll's pause, so that an agent's connection stays. */
const KEEP_ALIVE_MILLISECONDS = 75_000;
const CHECK_MILLISECONDS = 2000;

/** Of one answer, for metrics. */
export interface Observation {
  /** The route's name; "none" where no route was meant. */
  readonly route: string;
  readonly status: number;
  /** From the request's headers to the answer's end. */
  readonly seconds: number;
}

export interface ServerOptions {
  readonly routes: readonly Route[];
  /** Read again when they change. */
  readonly tls: TlsFiles;
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly log: Logger;
  readonly observe?: (observation: Observation) => void;
  readonly clock?: Clock;
}

export interface Server {
  readonly port: number;
  certificates(): Certificates;
  /** Takes nothing more, aborts what waits, and lets what runs end within this time. A second call awaits the first. */
  close(graceMilliseconds: number): Promise<void>;
}

/** Throws where certificate and key cannot be used, or the port is taken. */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { routes, tls, host, port, log, observe, clock = systemClock } = options;
  const router = makeRouter(routes);
  const state = await stateOf(tls);
  const pair = await readPair(tls);
  const stopping = new AbortController();
  const calls = new Set<Promise<void>>();
  const running = new Set<() => void>();
  const server = createServer(
    {
      ...{ cert: pair.cert, key: pair.key },
      minVersion: 'TLSv1.2',
      handshakeTimeout: HEADERS_MILLISECONDS,
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_MILLISECONDS,
      requestTimeout: REQUEST_MILLISECONDS,
      keepAliveTimeout: KEEP_ALIVE_MILLISECONDS,
      connectionsCheckingInterval: CHECK_MILLISECONDS,
    },
    (request, response) => {
      if (isOverfull(request.socket)) return;
      const call = handle({ request, response, router, stopping: stopping.signal, running, log, observe }).catch(
        (error) => log.error('an answer failed', { error: describeError(error) }),
      );
      calls.add(call);
      void call.finally(() => {
        calls.delete(call);
        pipelined.set(request.socket, (pipelined.get(request.socket) ?? 1) - 1);
      });
    },
  );
  server.maxConnections = mostConnections(
    Math.min(process.constrainedMemory() || Number.POSITIVE_INFINITY, totalmem()),
  );
  const sockets = limitAddresses(server);
  server.listen(port, host);
  await once(server, 'listening');
  let certificates: Certificates = { served: pair.leaf };
  const endWatch = watchPair({
    ...{ files: tls, first: { pair, state }, clock, log },
    told(now) {
      certificates = now;
    },
    renewed: ({ cert, key }) => server.setSecureContext({ cert, key, minVersion: 'TLSv1.2' }),
  });
  let closed: Promise<void> | undefined;
  return {
    port: (server.address() as AddressInfo).port,
    certificates: () => certificates,
    close(graceMilliseconds) {
      closed ??= (async () => {
        endWatch();
        const ended = once(server, 'close');
        server.close();
        stopping.abort();
        for (const stop of running) stop();
        const idle = async (): Promise<void> => {
          while (calls.size > 0) await Promise.allSettled(calls);
        };
        await within(idle(), graceMilliseconds, () => undefined);
        // also those that are still at their handshake
        for (const socket of sockets) socket.destroy();
        await ended;
      })();
      return closed;
    },
  };
}

interface Handling {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly router: Router;
  readonly stopping: AbortSignal;
  /** What aborts each call; not the server's own signal, which would remember every call that there ever was. */
  readonly running: Set<() => void>;
  readonly log: Logger;
  readonly observe: ServerOptions['observe'];
}

/** Resolves when the answer has been sent, or there is nobody to send it to. */
async function handle({ request, response, router, stopping, running, log, observe }: Handling): Promise<void> {
  const began = performance.now();
  const gone = new AbortController();
  const call = new AbortController();
  const stop = (): void => call.abort();
  running.add(stop);
  const ended = new Promise<void>((resolve) => {
    response.once('close', () => {
      if (!response.writableFinished) {
        gone.abort();
        call.abort();
      }
      resolve();
    });
  });
  const exchange: Exchange = { request, response, gone: gone.signal };
  let route = 'none';
  // a body's reader may have left by the time that the connection breaks
  request.on('error', () => undefined);
  response.on('error', () => undefined);
  try {
    if (stopping.aborted) throw stoppingProblem();
    const match = router(request.method ?? '', (request.url ?? '').split('?')[0] ?? '');
    route = match.route.name;
    const reply = await match.route.handle(makeCall(request, match, call.signal));
    if (stopping.aborted) response.shouldKeepAlive = false;
    await sendReply(exchange, reply);
  } catch (error) {
    if (!gone.signal.aborted) await refuse(exchange, { error, route, stopping, log });
  }
  const stalled = setTimeout(() => response.destroy(), STALL_MILLISECONDS);
  await ended;
  clearTimeout(stalled);
  running.delete(stop);
  const status = gone.signal.aborted && !response.headersSent ? 499 : response.statusCode;
  observe?.({ route, status, seconds: (performance.now() - began) / 1000 });
}

async function refuse(
  exchange: Exchange,
  { error, route, stopping, log }: { error: unknown; route: string; stopping: AbortSignal; log: Logger },
): Promise<void> {
  const problem = stopping.aborted && isAbort(error) ? stoppingProblem() : problemOf(error);
  if (!(error instanceof Problem)) {
    const fields = { route, error: describeError(error), code: errorCode(error) };
    if (problem.problem === 'unavailable' || isAbort(error)) log.warn('a call was not answered to its end', fields);
    else log.error('a call failed', fields);
  }
  // a stream that failed under way has ended its connection already
  if (exchange.response.headersSent) return;
  if (stopping.aborted) exchange.response.shouldKeepAlive = false;
  await sendProblem(exchange, problem);
}

function stoppingProblem(): Problem {
  return new Problem(503, 'unavailable', 'this replica is stopping: ask again', { retryAfter: 1 });
}

function isAbort(error: unknown): boolean {
  if (error instanceof ImpoundError) return error.code === 'aborted';
  return error instanceof Error && error.name === 'AbortError';
}

function errorCode(error: unknown): string | undefined {
  return error instanceof ImpoundError ? error.code : undefined;
}

/** `memory` in bytes: what the process may have. */
export function mostConnections(memory: number): number {
  const fitting = Math.floor(memory / 2 / CONNECTION_BYTES);
  return Math.min(Math.max(fitting, FEWEST_CONNECTIONS), MOST_CONNECTIONS);
}

const pipelined = new WeakMap<Socket, number>();

/** Counts a request of this connection until it is answered; ends a connection that has too many. */
function isOverfull(socket: Socket): boolean {
  const open = (pipelined.get(socket) ?? 0) + 1;
  pipelined.set(socket, open);
  if (open <= MAX_PIPELINED) return false;
  socket.destroy();
  return true;
}

/** The open connections, of which no address has too many. */
function limitAddresses(server: ReturnType<typeof createServer>): ReadonlySet<Socket> {
  const open = new Map<string, number>();
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    const address = socket.remoteAddress ?? '';
    const count = (open.get(address) ?? 0) + 1;
    open.set(address, count);
    socket.once('close', () => {
      sockets.delete(socket);
      const left = (open.get(address) ?? 1) - 1;
      if (left === 0) open.delete(address);
      else open.set(address, left);
    });
    if (count > MAX_CONNECTIONS_OF_ADDRESS) socket.destroy();
  });
  return sockets;
}
