// Times things side by side: interleaved rounds, the median of each, and a table that says what was compared.
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The checkout, whether this runs from its sources or from dist/. */
export const checkout = join(import.meta.dirname, import.meta.dirname.endsWith('/dist/bench') ? '../..' : '..');

const main = join(checkout, 'dist/cli/main.js');

/** As bin/impound and the images set them. */
export const ALLOCATOR = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '131072' };

/** A node with much on it, as node.ts makes it. */
export interface BusyNode {
  /** For what is written meanwhile; removed with the node. */
  readonly folder: string;
  /** Of its Docker engine. */
  readonly socket: string;
  readonly containers: number;
}

export interface Measured {
  readonly what: string;
  readonly figure: string;
  readonly floor: string;
  readonly ratio: string;
  readonly wanted: string;
  /** Undefined where nothing is promised. */
  readonly met?: boolean | undefined;
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** Runs ours and the floor in turn, `rounds` times after a warm-up of each; medians, in what the functions return. */
export async function sideBySide(
  rounds: number,
  ours: () => Promise<number>,
  floor: () => Promise<number>,
): Promise<{ readonly ours: number; readonly floor: number }> {
  const results: { ours: number[]; floor: number[] } = { ours: [], floor: [] };
  for (let round = -1; round < rounds; round++) {
    const [a, b] = [await ours(), await floor()];
    if (round < 0) continue;
    results.ours.push(a);
    results.floor.push(b);
  }
  return { ours: median(results.ours), floor: median(results.floor) };
}

export async function seconds(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}

export interface Ran {
  readonly seconds: number;
  /** Largest resident set of the process, bytes; its children not counted. */
  readonly peakBytes: number;
  readonly stdout: string;
}

/** Runs a program to its end; throws where it fails. */
export async function runProgram(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<Ran> {
  const begun = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  let peakBytes = 0;
  const timer = setInterval(async () => {
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '');
    peakBytes = Math.max(peakBytes, 1024 * Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0));
  }, 20);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  }).finally(() => clearInterval(timer));
  if (code !== 0)
    throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${Buffer.concat(err).toString().slice(-2000)}`);
  return { seconds: (performance.now() - begun) / 1000, peakBytes, stdout: Buffer.concat(out).toString() };
}

/** The built program's capture of this machine, with the environment that bin/impound gives it. Its key is in `folder`. */
export function runImpound(folder: string, words: readonly string[]): Promise<Ran> {
  const env = { ...ALLOCATOR, ...process.env, XDG_CONFIG_HOME: folder };
  return runProgram(process.execPath, [main, 'capture', '--local', '--quiet', ...words], env);
}

/** The row of the largest of `peaks`, bytes, below the row of what was run. */
export function peakMemory(peaks: readonly number[]): Measured {
  const peak = Math.max(...peaks);
  return {
    what: 'its peak memory',
    figure: `${(peak / 1e6).toFixed(0)} MB`,
    floor: '',
    ratio: '',
    wanted: 'under 200 MB',
    met: peak < 200e6,
  };
}
