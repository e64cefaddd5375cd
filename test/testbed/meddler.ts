// A Unix socket in front of a real engine: passes connections on, or lets a test interfere with some of them.
import { connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

export interface Meddler {
  readonly socket: string;
  /** Before its test ends; twice does no harm. */
  stop(): Promise<void>;
}

/** What becomes of a request: passed on to the engine, never answered, or answered with these bytes. */
export type Meddling = 'pass' | 'hang' | Uint8Array;

/**
 * `meddle` decides by the request's first line ("GET /info HTTP/1.1"); `engine` is undefined where nothing is passed on. It
 * ends with its test.
 */
export async function startMeddler(
  t: TestContext,
  socket: string,
  engine: string | undefined,
  meddle: (line: string) => Meddling | Promise<Meddling>,
): Promise<Meddler> {
  const open = new Set<Socket>();
  const keep = (connection: Socket): Socket => {
    open.add(connection);
    connection.on('close', () => open.delete(connection));
    connection.on('error', () => connection.destroy()); // the client hung up: its right
    return connection;
  };
  const server = createServer((client) => {
    keep(client).once('data', async (first: Buffer) => {
      client.pause();
      const what = await meddle(first.toString('latin1').split('\r\n', 1)[0] ?? '');
      if (what instanceof Uint8Array) client.end(what);
      if (what !== 'pass' || engine === undefined) {
        client.resume();
        return;
      }
      const upstream = keep(connect(engine));
      upstream.write(first);
      client.pipe(upstream).pipe(client);
    });
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const stop = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const connection of open) connection.destroy();
    await closed;
  };
  t.after(stop);
  return { socket, stop };
}

/** An HTTP answer with a body of known length. */
export function httpAnswer(body: string, status = '200 OK', header = ''): Uint8Array {
  return Buffer.from(`HTTP/1.1 ${status}\r\n${header}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}
