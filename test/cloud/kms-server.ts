// Servers that speak KMS: moto's, which signs digests, and one that gives an answer of AWS that moto never gives.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { cacheDirectory, pythonEnvironment } from '../testbed/components.ts';
import { type Daemon, type Scope, startDaemon } from '../testbed/http-daemon.ts';

/** As startMoto() does, through moto_digest.py, which says why. */
export function startKms(scope: Scope): Promise<Daemon> {
  return startDaemon(scope, {
    name: join(pythonEnvironment(cacheDirectory()), 'bin', 'python3'),
    readyPath: '/moto-api/',
    args: async (port) => [join(import.meta.dirname, 'moto_digest.py'), '-H', '127.0.0.1', '-p', String(port)],
  });
}

/** Its endpoint. Answers every request with an error in the form of the AWS JSON protocol 1.1. */
export async function startRefusal(scope: Scope, { type, status = 400 }: { type: string; status?: number }) {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(String(request.headers['x-amz-target']));
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' });
    response.end(JSON.stringify({ __type: type, message: `${type} it is` }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.after(async () => {
    server.close();
    server.closeAllConnections();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return { endpoint: `http://127.0.0.1:${address.port}`, requests };
}
