// Starts a server of moto: AWS's EC2, KMS and STS in memory, and an S3 that takes a wrong checksum.
import { cacheDirectory, motoServer } from './components.ts';
import { type Daemon, type Scope, startDaemon } from './http-daemon.ts';

/** What `needs` is told for a test that starts one. */
export const MOTO_COMPONENTS = ['moto'] as const;

/** Takes any credentials. Ready in some two seconds. */
export function startMoto(scope: Scope): Promise<Daemon> {
  return startDaemon(scope, {
    name: motoServer(cacheDirectory()),
    readyPath: '/moto-api/',
    args: async (port) => ['-H', '127.0.0.1', '-p', String(port)],
  });
}
