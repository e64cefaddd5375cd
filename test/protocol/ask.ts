// Asks the bed's API server as anybody: as a user by impersonation, as a service account by its token.
import { readFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import type { Cluster } from '../testbed/cluster.ts';

const REQUEST_MILLISECONDS = 30_000;

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
export type Who = 'administrator' | { readonly user: string } | { readonly token: string };

export interface Answer {
  readonly status: number;
  /** The object, or why it was refused. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** An answer of any status is an answer. */
export type Ask = (who: Who, method: Method, path: string, body?: object) => Promise<Answer>;

export async function openAsk(cluster: Cluster): Promise<{ readonly ask: Ask; close(): void }> {
  const [host = '', port] = (await cluster.reach('control', '127.0.0.1:16443')).split(':');
  const { admin } = cluster;
  const [ca, cert, key] = await Promise.all([admin.ca, admin.certificate, admin.key].map((path) => readFile(path)));
  const administrator = new Agent({ keepAlive: true, maxSockets: 4, ca, cert, key });
  const anybody = new Agent({ keepAlive: true, maxSockets: 4, ca });
  const ask: Ask = (who, method, path, body) =>
    new Promise((resolve, reject) => {
      const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
      const withToken = typeof who === 'object' && 'token' in who;
      const asked = request(
        {
          ...{ host, port, method, path, timeout: REQUEST_MILLISECONDS },
          agent: withToken ? anybody : administrator,
          headers: { 'content-type': type, ...identity(who) },
        },
        (answer) => {
          let text = '';
          answer.setEncoding('utf8').on('data', (chunk: string) => {
            text += chunk;
          });
          answer.on('error', reject).on('end', () => resolve(read(answer.statusCode ?? 0, text)));
        },
      );
      asked.on('timeout', () => asked.destroy(new Error(`${method} ${path}: no answer`))).on('error', reject);
      asked.end(body === undefined ? undefined : JSON.stringify(body));
    });
  return {
    ask,
    close() {
      administrator.destroy();
      anybody.destroy();
    },
  };
}

function identity(who: Who): Readonly<Record<string, string>> {
  if (who === 'administrator') return {};
  return 'token' in who ? { authorization: `Bearer ${who.token}` } : { 'impersonate-user': who.user };
}

/** A watch answers several objects, a line each: of these only the status is of interest. */
function read(status: number, text: string): Answer {
  try {
    const body = JSON.parse(text) as Answer['body'];
    return { status, body, message: String(body.message ?? '') };
  } catch {
    return { status, body: {}, message: text };
  }
}
