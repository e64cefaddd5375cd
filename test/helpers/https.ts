// One HTTPS request to a server of the tests' own, whose certificate has another name than the address that it is reached at.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';

export interface Asked {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly bytes: Buffer;
}

export interface AskHttps {
  readonly ca: string;
  readonly serverName: string;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Makes it a POST. */
  readonly json?: unknown;
}

const MILLISECONDS = 30_000;

export async function askHttps(url: string, { ca, serverName, token, headers, json }: AskHttps): Promise<Asked> {
  const body = json === undefined ? undefined : JSON.stringify(json);
  const sent = request(url, {
    method: body === undefined ? 'GET' : 'POST',
    ca: await readFile(ca),
    servername: serverName,
    agent: false,
    signal: AbortSignal.timeout(MILLISECONDS),
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
  });
  sent.end(body);
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  const chunks = await Array.fromAsync(answer as AsyncIterable<Buffer>);
  return { status: answer.statusCode ?? 0, headers: answer.headers, bytes: Buffer.concat(chunks) };
}
