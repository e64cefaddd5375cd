// Descriptors that are neither files nor sockets: namespaces held open, and the kernel's anonymous objects.
import { readdirSync, readlinkSync } from 'node:fs';
import type { Host } from '../../host/host.ts';
import { unreadable } from '../../host/kernel-file.ts';
import type { ProcessSummary } from '../../host/walk.ts';

export interface Held {
  readonly process: ProcessSummary;
  readonly fd: number;
  /** "net:[4026532281]", "anon_inode:bpf-prog". */
  readonly target: string;
}

export interface HeldDescriptors {
  readonly held: readonly Held[];
  /** Processes whose descriptors could not be listed. */
  readonly denied: readonly number[];
}

const A_SLICE = 64; // processes between two turns of the event loop

/** Descriptors whose link starts with `prefix`, of all processes. What vanishes meanwhile holds nothing any more. */
export async function heldDescriptors(
  host: Host,
  processes: readonly ProcessSummary[],
  prefix: string,
): Promise<HeldDescriptors> {
  const held: Held[] = [];
  const denied: number[] = [];
  for (const [number, process] of processes.entries()) {
    if (number % A_SLICE === A_SLICE - 1) await new Promise(setImmediate);
    const directory = `${host.proc}/${process.pid}/fd`;
    const sockets = new Set(process.sockets.map(({ fd }) => String(fd)));
    const names = listed(directory);
    if (names === undefined) denied.push(process.pid);
    for (const name of names ?? []) {
      if (sockets.has(name)) continue;
      const target = linkOf(`${directory}/${name}`);
      if (target?.startsWith(prefix)) held.push({ process, fd: Number(name), target });
    }
  }
  return { held, denied };
}

function listed(directory: string): readonly string[] | undefined {
  try {
    return readdirSync(directory);
  } catch (error) {
    return unreadable(error).reason === 'denied' ? undefined : [];
  }
}

/** A link's text; undefined where it is gone. */
export function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    unreadable(error);
    return undefined;
  }
}
