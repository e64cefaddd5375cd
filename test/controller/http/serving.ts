// A server of the test's own with routes of the test's own, a client of it, and bare connections to it.
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import type { Route } from '../../../controller/http/route.ts';
import { type Observation, type Server, startServer } from '../../../controller/http/server.ts';
import type { Logger } from '../../../evidence/index.ts';
import { fileTemporaryFolder } from '../../helpers/temporary.ts';
import { type Client, clientOf, selfSigned } from './certificates.ts';

export const tls = await selfSigned(await fileTemporaryFolder(), 'server');

export interface Started {
  readonly server: Server;
  readonly client: Client;
  readonly seen: Observation[];
  readonly logged: string[];
}

export async function start(t: TestContext, ...routes: Route[]): Promise<Started> {
  const logged: string[] = [];
  const keep = (message: string, fields = {}): void => void logged.push(`${message} ${JSON.stringify(fields)}`);
  const log: Logger = { debug: keep, info: keep, warn: keep, error: keep };
  const seen: Observation[] = [];
  const observe = (observation: Observation): void => void seen.push(observation);
  const server = await startServer({ routes, tls, host: '127.0.0.1', port: 0, log, observe });
  const client = await clientOf(server.port, tls.cert);
  t.after(async () => {
    client.close();
    await server.close(0);
  });
  return { server, client, seen, logged };
}

export const route = (path: string, handle: Route['handle'], method: Route['method'] = 'GET'): Route => ({
  ...{ method, path, name: `${method} ${path}`, handle },
});

/** Sends bytes as they are, and gives what came back until the server ended the connection. */
export async function raw(port: number, text: string): Promise<string> {
  const socket = await opened(port);
  socket.write(text);
  return Buffer.concat(await socket.toArray()).toString();
}

export async function opened(port: number): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  return socket;
}
