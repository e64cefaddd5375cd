// A real server that takes granted bodies, as the controller's does: over TLS with an authority of its own.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Received, Uploads } from '../../evidence/store/uploads.ts';
import { makePki } from '../testbed/cluster/pki.ts';
import { temporaryFolder } from './temporary.ts';

export interface Bytes {
  /** For `uploads`. */
  readonly receiver: { readonly url: string; readonly secret: Buffer };
  /** PEM of the authority. */
  readonly ca: string;
  /** What was answered so far. */
  readonly answers: Received[];
  /** From now on what is PUT goes there. */
  serve(uploads: Uploads): void;
}

/** Needs openssl(1). */
export async function startReceiver(t: TestContext): Promise<Bytes> {
  const pki = await makePki(join(await temporaryFolder(t), 'pki'), 'https://127.0.0.1');
  const { certificate, key, ca } = await pki.certificate('server', '/CN=controller', 'IP:127.0.0.1');
  const server = createServer({ cert: await readFile(certificate), key: await readFile(key) });
  const answers: Received[] = [];
  let receive: NonNullable<Uploads['receive']> | undefined;
  const handle = async (request: IncomingMessage, response: ServerResponse, asked: boolean): Promise<void> => {
    const { searchParams } = new URL(request.url ?? '', 'https://controller');
    const length = request.headers['content-length'];
    async function* body(): AsyncGenerator<Uint8Array> {
      if (asked) response.writeContinue();
      yield* request;
    }
    const answer = await receive?.(
      searchParams.get('grant') ?? '',
      body(),
      length === undefined ? undefined : Number(length),
    );
    if (answer === undefined) return void request.destroy();
    answers.push(answer);
    const closing = answer.status === 200 ? {} : { connection: 'close' };
    response.writeHead(answer.status, { ...answer.headers, ...closing }).end(answer.body);
  };
  server.on('request', (request, response) => handle(request, response, false));
  server.on('checkContinue', (request, response) => handle(request, response, true));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    receiver: { url: `https://127.0.0.1:${port}/agent/v1/bytes/one`, secret: randomBytes(32) },
    ca: await readFile(ca, 'utf8'),
    answers,
    serve(uploads) {
      receive = uploads.receive;
    },
  };
}
