// A place of the bed: a network and a mount namespace, which end with the process that holds them.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Daemon, startDaemon, untilThisProcessEnds } from './daemon.ts';

const execute = promisify(execFile);
const RUN_MILLISECONDS = 60_000;

export interface RunOptions {
  /** Added to this process's own. */
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly milliseconds?: number;
}

export interface Place {
  readonly name: string;
  /** Of the process that holds its namespaces: /proc/PID/ns/net, /proc/PID/ns/mnt. */
  readonly pid: number;
  /** Runs a program inside to its end; its standard output. */
  run(program: string, args: readonly string[], options?: RunOptions): Promise<string>;
  /** Starts a daemon inside; `name` is its log's. */
  start(name: string, program: string, args: readonly string[], env?: RunOptions['env']): Promise<Daemon>;
  /** Ends the daemons, then the namespaces. */
  stop(): Promise<void>;
}

/** sysctls that the kubelet writes when it starts: /proc/sys may be read-only, and the machine's own are not to change. */
const SYSCTLS: Readonly<Record<string, string>> = {
  'vm/overcommit_memory': '1',
  'vm/panic_on_oom': '0',
  'kernel/panic': '10',
  'kernel/panic_on_oops': '1',
  'kernel/keys/root_maxkeys': '1000000',
  'kernel/keys/root_maxbytes': '25000000',
};

/** Folders whose names are fixed in the programs of a node: each node has its own over the machine's. */
const FOLDERS = ['/run/containerd', '/var/lib/cni', '/var/lib/kubelet', '/var/log/containers'];

/** `folder` is the place's own; `resolver` is what programs inside ask for names. */
export async function makePlace(folder: string, name: string, resolver: string): Promise<Place> {
  const logs = join(folder, 'log');
  await mkdir(logs, { recursive: true });
  const holder = await holdNamespaces(await mountScript(join(folder, 'over'), resolver));
  const daemons: Daemon[] = [];
  let stopped = false;
  const inside = (program: string, args: readonly string[]): string[] => [
    ...['nsenter', `--net=/proc/${holder.pid}/ns/net`, `--mount=/proc/${holder.pid}/ns/mnt`, `--wdns=${folder}`],
    ...[program, ...args],
  ];
  return {
    name,
    pid: holder.pid ?? 0,
    async run(program, args, { env = {}, input, milliseconds = RUN_MILLISECONDS } = {}) {
      const [first = '', ...rest] = inside(program, args);
      const options = { timeout: milliseconds, maxBuffer: 64 * 1024 * 1024, env: { ...process.env, ...env } };
      const running = execute(first, rest, options);
      running.child.stdin?.on('error', () => undefined); // it ended without reading: its exit code tells
      running.child.stdin?.end(input ?? '');
      return (await running).stdout;
    },
    async start(daemon, program, args, env = {}) {
      if (stopped) throw new Error(`${name} is gone`);
      const words = inside(program, args);
      const started = await startDaemon(daemon, join(logs, daemon), words, { ...process.env, ...env });
      daemons.push(started);
      return started;
    },
    async stop() {
      stopped = true;
      await Promise.all(daemons.map((daemon) => daemon.kill()));
      if (holder.exitCode !== null || holder.signalCode !== null) return;
      const ended = once(holder, 'exit');
      holder.kill('SIGKILL');
      await ended;
    },
  };
}

/** Where `resolver` and the rest lie over what the machine has; `folder` takes them. */
async function mountScript(folder: string, resolver: string): Promise<string> {
  const own = (path: string): string => join(folder, path.slice(1).replaceAll('/', '_'));
  const sysctls = Object.entries(SYSCTLS).map(([name, value]) => [`/proc/sys/${name}`, `${value}\n`] as const);
  const files = [...sysctls, ['/etc/resolv.conf', resolver] as const];
  await mkdir(folder);
  for (const [path, content] of files) await writeFile(own(path), content);
  for (const path of FOLDERS) {
    await mkdir(own(path));
    await mkdir(path, { recursive: true });
  }
  const paths = [...files.map(([path]) => path), ...FOLDERS];
  const binds = paths.map((path) => `[ ! -e '${path}' ] || mount --bind '${own(path)}' '${path}'`);
  // as systemd leaves a machine's: a pod may see what is mounted after its start
  return [...binds, 'mount --make-rshared /'].join('\n');
}

async function holdNamespaces(script: string): Promise<ChildProcess> {
  const shell = ['sh', '-ec', `${script}\necho ready\nexec sleep infinity`];
  const words = untilThisProcessEnds(['unshare', '--net', '--mount', '--propagation', 'slave', ...shell]);
  const [program = '', ...args] = words;
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() => {
      throw new Error('no namespaces of its own can be had on this machine');
    }),
  ]);
  child.stdout.destroy();
  return child;
}
