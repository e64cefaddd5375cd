// The cluster's API for the test's own process, over a relay's socket: it is in none of the cluster's networks.
import { readFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import type { Certificate } from './pki.ts';

const REQUEST_MILLISECONDS = 30_000;

/** An answer that is not 2xx is an error whose message is the answer. */
export type Api = (
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string,
  body?: object,
) => Promise<unknown>;

export async function openApi(socket: string, client: Certificate): Promise<{ readonly api: Api; close(): void }> {
  const [ca, cert, key] = await Promise.all([client.ca, client.certificate, client.key].map((path) => readFile(path)));
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  const api: Api = (method, path, body) =>
    new Promise((resolve, reject) => {
      const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
      const options = { agent, socketPath: socket, servername: 'localhost', ca, cert, key, method, path };
      const asked = request(
        { ...options, headers: { 'content-type': type }, timeout: REQUEST_MILLISECONDS },
        (answer) => {
          let text = '';
          answer.setEncoding('utf8').on('data', (chunk: string) => {
            text += chunk;
          });
          answer.on('error', reject).on('end', () => {
            const { statusCode = 0 } = answer;
            if (statusCode < 200 || statusCode > 299) reject(new Error(`${method} ${path}: ${statusCode} ${text}`));
            else resolve(text.startsWith('{') ? JSON.parse(text) : text);
          });
        },
      );
      asked.on('timeout', () => asked.destroy(new Error(`${method} ${path}: no answer`))).on('error', reject);
      asked.end(body === undefined ? undefined : JSON.stringify(body));
    });
  return { api, close: () => agent.destroy() };
}
