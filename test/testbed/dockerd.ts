// Starts a real dockerd of the tests' own in a temporary folder, with a busybox image, and takes all of it away again.
import { type ChildProcess, execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { busyboxRootfs } from './busybox.ts';
import { didNotStart, endDaemon, runs, spawnDaemon } from './daemon.ts';
import { findProgram } from './probe.ts';
import { clearFolder } from './remains.ts';

const START_MILLISECONDS = 30_000;
const STOP_MILLISECONDS = 20_000;
const CLI_MILLISECONDS = 60_000;
const execute = promisify(execFile);

export interface Dockerd {
  /** Path of the engine's socket; short, since a socket's path has at most 107 bytes (unix(7)). */
  readonly socket: string;
  readonly directory: string;
  readonly pid: number;
  /** Runs the docker client against this engine; its standard output without the last newline. */
  docker(...args: readonly string[]): Promise<string>;
  /** `docker run -d --network none` with `args` (options, image, command); the container's id. */
  run(...args: readonly string[]): Promise<string>;
  stop(): Promise<void>;
}

/** The image that is always there: busybox with all its applets. */
export const BUSYBOX = 'busybox:test';

/** The daemon leaves other engines of the machine alone: it has its own folders, socket, containerd; no bridge, no rules. */
export async function startDockerd(): Promise<Dockerd> {
  const directory = await mkdtemp('/tmp/imp-');
  const socket = join(directory, 'sock');
  const child = await start(directory, socket);
  const docker = (...args: readonly string[]): Promise<string> => client(directory, socket, args);
  const bed: Dockerd = {
    socket,
    directory,
    pid: child.pid ?? 0,
    docker,
    run: (...args) => docker('run', '-d', '--network', 'none', ...args),
    stop: () => stopDaemon(child, directory, docker),
  };
  try {
    await ready(child, directory, docker);
    const rootfs = join(directory, 'busybox.tar');
    await busyboxRootfs(rootfs);
    await docker('import', '--change', 'ENV PATH=/bin', '--change', 'CMD ["/bin/sh"]', rootfs, BUSYBOX);
    return bed;
  } catch (error) {
    await bed.stop();
    throw error;
  }
}

async function start(directory: string, socket: string): Promise<ChildProcess> {
  // a file of its own instead of the machine's /etc/docker/daemon.json
  const config = join(directory, 'daemon.json');
  await writeFile(config, '{}');
  const places = ['--data-root', join(directory, 'data'), '--exec-root', join(directory, 'exec')];
  const files = ['--config-file', config, '--pidfile', join(directory, 'pid'), '--host', `unix://${socket}`];
  const args = [...places, ...files, '--iptables=false', '--bridge=none', '--shutdown-timeout=2'];
  return await spawnDaemon(directory, 'dockerd', args);
}

async function ready(child: ChildProcess, directory: string, docker: Dockerd['docker']): Promise<void> {
  const until = Date.now() + START_MILLISECONDS;
  for (;;) {
    const answered = await docker('version', '--format', '{{.Server.Version}}').catch(() => undefined);
    if (answered !== undefined) return;
    if (!runs(child) || Date.now() > until) throw await didNotStart(directory, 'dockerd');
    await sleep(100);
  }
}

async function client(directory: string, socket: string, args: readonly string[]): Promise<string> {
  const docker = findProgram('docker');
  if (docker === undefined) throw new Error("docker, the engine's client, is not installed");
  const { DOCKER_HOST: _host, DOCKER_CONTEXT: _context, ...env } = process.env;
  const { stdout } = await execute(docker, ['--host', `unix://${socket}`, ...args], {
    env: { ...env, DOCKER_CONFIG: directory },
    timeout: CLI_MILLISECONDS,
    maxBuffer: 64 * 1_048_576,
  });
  return stdout.replace(/\n$/, '');
}

/** Containers first, the daemon then, and whatever of it is left at last. Each step goes on after a failed one. */
async function stopDaemon(child: ChildProcess, directory: string, docker: Dockerd['docker']): Promise<void> {
  if (runs(child)) {
    const ids = await docker('ps', '-aq').catch(() => '');
    if (ids !== '') await docker('rm', '-f', ...ids.split('\n')).catch(() => undefined);
    await endDaemon(child, STOP_MILLISECONDS);
  }
  await clearFolder(directory);
  await rm(directory, { recursive: true, force: true });
}
