// Which process a bundle is written by, so that nobody seals it while its capture is running.
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { ImpoundError } from '../errors.ts';
import { isRecord } from '../format/entry.ts';
import type { Clock } from '../ports.ts';
import type { ChainEntry } from './chain-reader.ts';

/** Of another machine nobody can tell whether its process runs: a chain that is silent for so long is taken for left. */
const SILENCE_MILLISECONDS = 10 * 60 * 1000;

/** A process as nothing else on any machine is called. */
export interface Holder {
  readonly pid: number;
  /** Field 22 of proc_pid_stat(5): a PID that is used again has another. */
  readonly startTicks: string;
  /** /proc/sys/kernel/random/boot_id, random(4). */
  readonly bootId: string;
  /** "pid:[4026531836]", pid_namespaces(7). */
  readonly pidNamespace: string;
  readonly node: string;
}

/** Read once: nothing of it changes while the process runs. */
let known: Promise<Holder | undefined> | undefined;

/** This process; undefined where there is no procfs to tell. */
export function ownHolder(): Promise<Holder | undefined> {
  known ??= readOwn();
  return known;
}

async function readOwn(): Promise<Holder | undefined> {
  try {
    const [startTicks, bootId, pidNamespace] = await Promise.all([
      startTicksOf(process.pid),
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readlink('/proc/self/ns/pid'),
    ]);
    if (startTicks === undefined) return undefined;
    return { pid: process.pid, startTicks, bootId: bootId.trim(), pidNamespace, node: hostname() };
  } catch {
    return undefined; // the grant then says nothing of it, and the chain's silence has to tell
  }
}

/** How sure it is that nobody writes to the bundle any more. */
export type Abandonment = 'ended' | 'silent' | 'said';

/**
 * Throws `bundle-busy` where the capture is running, or may be and nobody says that it has ended (`abandoned`): of a
 * process of this machine nobody needs to say it.
 */
export async function assertAbandoned(
  entries: readonly ChainEntry[],
  clock: Clock,
  abandoned: boolean,
): Promise<Abandonment> {
  const bundle = entries[0]?.statement.predicate.bundle ?? '';
  const held = entries[0]?.statement.predicate.details.holder;
  const own = await ownHolder();
  const here = isRecord(held) && held.bootId === own?.bootId && held.pidNamespace === own?.pidNamespace;
  if (here) {
    if (held.pid === process.pid || (await startTicksOf(Number(held.pid))) !== held.startTicks) return 'ended';
    throw busy(bundle, `its capture is still running (pid ${Number(held.pid)}): stop that first, it seals what it has`);
  }
  const last = Date.parse(entries.at(-1)?.statement.predicate.time ?? '');
  const silent = clock.now().getTime() - last;
  if (silent > SILENCE_MILLISECONDS) return 'silent';
  if (abandoned) return 'said';
  const node = isRecord(held) && typeof held.node === 'string' ? held.node : 'another machine';
  throw busy(
    bundle,
    `${node} wrote to it ${Math.round(silent / 1000)} s ago and may still do so: stop its capture first, or give --abandoned if it has ended`,
  );
}

function busy(bundle: string, message: string): ImpoundError {
  return new ImpoundError('bundle-busy', message, { operation: 'seal', thing: bundle });
}

/** Undefined where there is no such process. */
async function startTicksOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
