// Starts a real containerd of the tests' own in a temporary folder, with a busybox image, and takes all of it away again.
import { type ChildProcess, execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { busyboxImage } from './cluster/image.ts';
import { BUSYBOX_IMAGE, containerdConfig, IMAGES } from './containerd-config.ts';
import {
  type Cri,
  openCri,
  PODS,
  type Pod,
  type PodOptions,
  removeCgroups,
  removePods,
  runPod,
} from './containerd-cri.ts';
import { didNotStart, endDaemon, runs, spawnDaemon } from './daemon.ts';
import { findProgram } from './probe.ts';
import { clearFolder } from './remains.ts';

export { BUSYBOX_IMAGE } from './containerd-config.ts';
export type { Pod, PodOptions } from './containerd-cri.ts';

/** What `needs` is told for a test that starts one. */
export const CONTAINERD_COMPONENTS = ['containerd', 'runc', 'busybox'] as const;

const START_MILLISECONDS = 30_000;
const STOP_MILLISECONDS = 15_000;
const CTR_MILLISECONDS = 60_000;
const execute = promisify(execFile);

export interface Containerd {
  /** containerd's socket, which speaks the CRI too. */
  readonly socket: string;
  /** Its folder of images and snapshots. */
  readonly root: string;
  /** The temporary folder that holds everything of it. */
  readonly directory: string;
  readonly pid: number;
  /** A pod in the node's network with one busybox container, "main", that runs `command`, through the CRI as a kubelet does. */
  pod(name: string, command: readonly string[], options?: PodOptions): Promise<Pod>;
  /**
   * `ctr --namespace NAMESPACE run --detach BUSYBOX ID COMMAND`: a container that no Kubernetes knows of. Its id is `name` with
   * what makes it one of its kind, since runc keeps those of all of the machine's engines in one place.
   */
  run(namespace: string, name: string, ...command: readonly string[]): Promise<string>;
  /** Runs a command in a container ("k8s.io" for a pod's) and waits for it; its output. */
  exec(namespace: string, id: string, ...command: readonly string[]): Promise<string>;
  /** Runs ctr(8) against this containerd; its standard output. */
  ctr(...args: readonly string[]): Promise<string>;
  /** Resolves when the container's task has ended. */
  ended(namespace: string, id: string): Promise<void>;
  stop(): Promise<void>;
}

/** It leaves other engines of the machine alone: it has its own folders and socket, and no network plugin. */
export async function startContainerd(): Promise<Containerd> {
  const directory = await mkdtemp('/tmp/imp-');
  const socket = join(directory, 'sock');
  const child = await start(directory, socket);
  const ctr = (...args: readonly string[]): Promise<string> => client(socket, args);
  const archive = join(directory, 'busybox.tar');
  const imported = new Set<string>();
  const cri = await ready(directory, child, socket, ctr);
  const number = counter();
  const bed: Containerd = {
    socket,
    root: join(directory, 'root'),
    directory,
    pid: child.pid ?? 0,
    ctr,
    pod: (name, command, options = {}) => runPod(cri, name, command, options),
    async run(namespace, name, ...command) {
      const id = `${name}-${randomBytes(4).toString('hex')}`;
      if (!imported.has(namespace)) await ctr('-n', namespace, 'images', 'import', archive);
      imported.add(namespace);
      await ctr('-n', namespace, 'run', '--detach', '--null-io', BUSYBOX_IMAGE, id, ...command);
      return id;
    },
    exec: (namespace, id, ...command) =>
      ctr('-n', namespace, 'tasks', 'exec', '--exec-id', `exec-${number()}`, id, ...command),
    async ended(namespace, id) {
      for (let tries = 0; tries < 200; tries++) {
        const line = (await ctr('-n', namespace, 'tasks', 'list')).split('\n').find((task) => task.startsWith(id));
        if (line === undefined || line.includes('STOPPED')) return;
        await sleep(50);
      }
      throw new Error(`${id} still runs`);
    },
    stop: () => stopDaemon(child, directory, cri, ctr),
  };
  try {
    for (const [reference, command] of IMAGES) {
      const file = reference === BUSYBOX_IMAGE ? archive : join(directory, 'pause.tar');
      await busyboxImage(file, reference, command);
      await ctr('-n', 'k8s.io', 'images', 'import', file);
    }
    imported.add('k8s.io');
    return bed;
  } catch (error) {
    await bed.stop();
    throw error;
  }
}

async function start(directory: string, socket: string): Promise<ChildProcess> {
  const networks = join(directory, 'cni');
  await mkdir(networks);
  const config = join(directory, 'containerd.toml');
  await writeFile(config, containerdConfig(directory, socket, networks));
  return await spawnDaemon(directory, 'containerd', ['-c', config]);
}

async function ready(directory: string, child: ChildProcess, socket: string, ctr: Containerd['ctr']): Promise<Cri> {
  const until = Date.now() + START_MILLISECONDS;
  for (;;) {
    try {
      await ctr('version');
      return await openCri(socket);
    } catch {
      // not yet
    }
    if (!runs(child) || Date.now() > until) {
      const failure = await didNotStart(directory, 'containerd');
      child.kill('SIGKILL');
      await clearFolder(directory);
      throw failure;
    }
    await sleep(100);
  }
}

async function client(socket: string, args: readonly string[]): Promise<string> {
  const { stdout } = await execute(findProgram('ctr') ?? 'ctr', ['--address', socket, ...args], {
    timeout: CTR_MILLISECONDS,
    maxBuffer: 16 * 1_048_576,
  });
  return stdout;
}

/** Pods and containers first, the daemon then, and whatever of it is left at last. Each step goes on after a failed one. */
async function stopDaemon(child: ChildProcess, directory: string, cri: Cri, ctr: Containerd['ctr']): Promise<void> {
  if (runs(child)) {
    await removePods(cri).catch(() => undefined);
    await removeCgroups(PODS);
    const namespaces = (await ctr('namespaces', 'list', '--quiet').catch(() => '')).split('\n').filter(Boolean);
    for (const namespace of namespaces) await removeContainers(namespace, ctr).catch(() => undefined);
    await endDaemon(child, STOP_MILLISECONDS);
  }
  cri.close();
  await clearFolder(directory);
  await rm(directory, { recursive: true, force: true });
}

async function removeContainers(namespace: string, ctr: Containerd['ctr']): Promise<void> {
  const list = async (...words: readonly string[]): Promise<readonly string[]> =>
    (await ctr('-n', namespace, ...words, 'list', '--quiet')).split('\n').filter(Boolean);
  for (const id of await list('tasks')) await ctr('-n', namespace, 'tasks', 'rm', '--force', id).catch(() => undefined);
  for (const id of await list('containers')) await ctr('-n', namespace, 'containers', 'rm', id).catch(() => undefined);
  await removeCgroups(namespace);
}

function counter(): () => number {
  let number = 0;
  return () => number++;
}
