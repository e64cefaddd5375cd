// Whether a container runtime is where this agent looks for it, for who asks before there is a capture.
import { createConnection } from 'node:net';
import type { NodeSettings } from '../context.ts';
import { distinctSockets } from '../runtime/containerd.ts';

const PATIENCE_MILLISECONDS = 2000;

/** Paths of those sockets at which somebody listens. Nothing is asked there. */
export async function listening({
  dockerSockets,
  containerdSockets,
  criSockets,
}: Pick<NodeSettings, 'dockerSockets' | 'containerdSockets' | 'criSockets'>): Promise<readonly string[]> {
  const sockets = await distinctSockets([...new Set([...containerdSockets, ...criSockets, ...dockerSockets])]);
  const taken = await Promise.all(sockets.map(isTaken));
  return sockets.filter((_, index) => taken[index]);
}

function isTaken(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    const said = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(PATIENCE_MILLISECONDS, () => said(false));
    socket.on('connect', () => said(true)).on('error', () => said(false));
  });
}
