// The place a cluster lives in: a network and a mount namespace of its own, a folder, and its daemons with their logs.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { clearFolder } from '../remains.ts';

const execute = promisify(execFile);
const LOG_TAIL = 2000;

export interface Bed {
  readonly directory: string;
  /** Name of its network namespace, for ip(8). */
  readonly netns: string;
  /** Starts a daemon inside; `name` is its log's. */
  start(name: string, program: string, args: readonly string[]): Promise<void>;
  /** Runs a program inside to its end; its standard output. */
  run(program: string, args: readonly string[], options?: { readonly input?: string }): Promise<string>;
  /** Tries until `probe` answers without an error; else says so with the end of the daemon's log. */
  until(name: string, seconds: number, probe: () => Promise<unknown>): Promise<void>;
  stop(): Promise<void>;
}

/** sysctls that the kubelet writes when it starts: /proc/sys may be read-only, and the node's own are not to change. */
const SYSCTLS: Readonly<Record<string, string>> = {
  'vm/overcommit_memory': '1',
  'vm/panic_on_oom': '0',
  'kernel/panic': '10',
  'kernel/panic_on_oops': '1',
  'kernel/keys/root_maxkeys': '1000000',
  'kernel/keys/root_maxbytes': '25000000',
};

/** The mounts of all that runs inside end with the first process of the bed's mount namespace. */
export async function makeBed(): Promise<Bed> {
  const directory = await mkdtemp('/tmp/imp-');
  const netns = `imp${process.pid}-${directory.slice(-6)}`;
  const children: ChildProcess[] = [];
  await mkdir(join(directory, 'log'));
  const holder = await holdMounts(directory);
  children.push(holder);
  await execute('ip', ['netns', 'add', netns]);
  const inside = (program: string, args: readonly string[]): string[] => [
    `--net=/run/netns/${netns}`,
    `--mount=/proc/${holder.pid}/ns/mnt`,
    `--wdns=${directory}`,
    program,
    ...args,
  ];
  return {
    directory,
    netns,
    async start(name, program, args) {
      const log = await open(join(directory, 'log', name), 'a');
      const child = spawn('nsenter', inside(program, args), { stdio: ['ignore', log.fd, log.fd], detached: true });
      child.on('error', () => undefined); // until() sees that it never answers
      children.push(child);
      await log.close();
    },
    async run(program, args, { input } = {}) {
      const running = execute('nsenter', inside(program, args), { timeout: 60_000, maxBuffer: 64 * 1024 * 1024 });
      if (input !== undefined) running.child.stdin?.end(input);
      return (await running).stdout;
    },
    async until(name, seconds, probe) {
      const end = Date.now() + seconds * 1000;
      for (;;) {
        const failure = await probe().then(
          () => undefined,
          (error: unknown) => error,
        );
        if (failure === undefined) return;
        if (Date.now() > end) {
          const log = await readFile(join(directory, 'log', name), 'utf8').catch(() => '');
          throw new Error(`${name} is not ready after ${seconds} s: ${String(failure)}\n${log.slice(-LOG_TAIL)}`);
        }
        await sleep(200);
      }
    },
    async stop() {
      for (const child of children.toReversed()) await end(child);
      await clearFolder(directory);
      await execute('ip', ['netns', 'del', netns]).catch(() => undefined); // never made
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function holdMounts(directory: string): Promise<ChildProcess> {
  const script: string[] = [];
  await mkdir(join(directory, 'sysctl'));
  for (const [name, value] of Object.entries(SYSCTLS)) {
    const file = join(directory, 'sysctl', name.replaceAll('/', '_'));
    await writeFile(file, `${value}\n`);
    script.push(`mount --bind '${file}' '/proc/sys/${name}'`);
  }
  script.push('echo ready', 'exec sleep infinity');
  const words = ['--mount', '--propagation', 'slave', 'sh', '-ec', script.join('\n')];
  const child = spawn('unshare', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() => {
      throw new Error('no mount namespace of its own can be had on this machine');
    }),
  ]);
  child.stdout.destroy();
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}
