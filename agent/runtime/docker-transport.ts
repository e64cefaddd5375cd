// Carries dockerode's calls to the engine's socket: GET only, no redirect followed, bytes handed over as received.
import { Agent, type IncomingMessage, request } from 'node:http';
import { addAbortSignal } from 'node:stream';
import { ImpoundError } from '../../evidence/index.ts';

/** What dockerode hands to its modem for one call. `options` become the query where the path asks for one. */
export interface Dial {
  readonly path: string;
  readonly method: string;
  readonly options?: Readonly<Record<string, unknown>>;
}

/** The part of docker-modem that dockerode's reading calls need. */
export interface Modem {
  dial(call: Dial, callback: (error: unknown, response: IncomingMessage | null) => void): void;
}

/** Connections to one engine at once: statistics of many containers wait in the engine side by side. */
const SOCKETS_AT_ONCE = 96;
const HEADER_BYTES = 65_536;

/**
 * A place that makes a modem for each call, ended by that call's signal. docker-modem's own is not used: it keeps an
 * answer of any length in memory, follows an engine's redirect to any host, and dies of a redirect it cannot parse.
 */
export function transport(socketPath: string): { modem(signal: AbortSignal): Modem } {
  const agent = new Agent({ keepAlive: false, maxSockets: SOCKETS_AT_ONCE });
  return {
    modem: (signal) => ({
      dial(call, callback) {
        send(socketPath, agent, call, signal).then(
          (response) => callback(null, response),
          (error: unknown) => callback(error, null),
        );
      },
    }),
  };
}

/**
 * The body up to `limit` bytes; `cut` where there was more. The response is closed either way. A body that ends early
 * by the call's signal is thrown, with what had come by then in `partial` where the caller wants it.
 */
export async function readBody(
  response: IncomingMessage,
  limit: number,
  partial: Buffer[] = [],
): Promise<{ readonly raw: Buffer; readonly cut: boolean }> {
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      const room = limit - size;
      size += Math.min(chunk.length, room);
      partial.push(chunk.length > room ? chunk.subarray(0, room) : chunk);
      if (chunk.length > room) return { raw: Buffer.concat(partial), cut: true };
    }
    return { raw: Buffer.concat(partial), cut: false };
  } finally {
    response.destroy();
  }
}

function send(socketPath: string, agent: Agent, call: Dial, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    if (call.method !== 'GET') {
      const context = { operation: 'ask the Docker engine', thing: call.path };
      throw new ImpoundError('internal', `${call.method} would change the engine: only GET is sent`, context);
    }
    const path = pathOf(call);
    const headers = { Host: 'docker' };
    const outgoing = request({ socketPath, agent, method: 'GET', path, headers, signal, maxHeaderSize: HEADER_BYTES });
    outgoing.on('response', (response) => {
      resolve(addAbortSignal(signal, response));
      response.on('error', () => undefined); // reading it throws the same; unread, it must not end the process
    });
    outgoing.on('upgrade', (_response, socket) => {
      socket.destroy();
      reject(new Error('the answer asks for another protocol'));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

/** dockerode ends a path with "?" where its options are the query. */
function pathOf(call: Dial): string {
  if (!call.path.endsWith('?')) return call.path;
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(call.options ?? {})) {
    if (value !== undefined) query.set(name, typeof value === 'object' ? JSON.stringify(value) : String(value));
  }
  return query.size === 0 ? call.path.slice(0, -1) : `${call.path}${query}`;
}
