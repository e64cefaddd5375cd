// Certificates for servers of the tests' own, and a client that trusts them.
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent, type RequestOptions, request } from 'node:https';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** Signed by itself, for 127.0.0.1; `subject` tells one from another. */
export async function selfSigned(folder: string, subject: string): Promise<Pair> {
  const [cert, key] = [join(folder, `${subject}.crt`), join(folder, `${subject}.key`)];
  await execute('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', `/CN=${subject}`, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert],
  ]);
  return { cert, key };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Of the body where it is JSON. */
  readonly json: Readonly<Record<string, unknown>>;
}

export interface Asked extends Pick<RequestOptions, 'method' | 'headers' | 'signal'> {
  readonly token?: string;
  readonly body?: object | string | Buffer;
}

export interface Client {
  ask(path: string, asked?: Asked): Promise<Answer>;
  /** The answer as it comes. */
  open(path: string, asked?: Asked): Promise<IncomingMessage>;
  close(): void;
}

export async function clientOf(port: number, ca: string, keepAlive = true): Promise<Client> {
  const agent = new Agent({ keepAlive, ca: await readFile(ca) });
  const open = (path: string, { token, body, headers, ...more }: Asked = {}): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const isJson = typeof body === 'object' && !Buffer.isBuffer(body);
      const bytes = isJson ? JSON.stringify(body) : body;
      const sent = request(
        {
          ...{ host: '127.0.0.1', port, agent, path, method: body === undefined ? 'GET' : 'POST', ...more },
          headers: {
            ...(isJson ? { 'content-type': 'application/json' } : {}),
            ...(bytes === undefined ? {} : { 'content-length': Buffer.byteLength(bytes) }),
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
            ...headers,
          },
        },
        resolve,
      );
      sent.on('error', reject).end(bytes);
    });
  return {
    open,
    async ask(path, asked) {
      const answer = await open(path, asked);
      const body = Buffer.concat(await answer.toArray());
      return { status: answer.statusCode ?? 0, headers: answer.headers, body, json: jsonOf(body) };
    },
    close: () => agent.destroy(),
  };
}

function jsonOf(body: Buffer): Answer['json'] {
  try {
    return JSON.parse(body.toString());
  } catch {
    return {};
  }
}
