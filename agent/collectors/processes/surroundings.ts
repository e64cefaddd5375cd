// What a process is compared with: the host's namespaces, the time of boot, and which process is our own.
import { readlinkSync } from 'node:fs';
import type { Host } from '../../host/host.ts';
import { readKernelText } from '../../host/read.ts';
import { NAMESPACES } from '../../host/walk/files.ts';

export interface Surroundings {
  /** Milliseconds since the epoch; undefined where /proc/stat could not be read. */
  readonly bootTime: number | undefined;
  /** Link text of the host's namespaces by name: "net:[4026531840]". */
  readonly hostNamespaces: ReadonlyMap<string, string>;
  readonly ownPid: number;
}

export function surroundings(host: Host): Surroundings {
  const hostNamespaces = new Map<string, string>();
  for (const name of NAMESPACES) {
    const link = hostNamespace(host, name);
    if (link !== undefined) hostNamespaces.set(name, link);
  }
  return { bootTime: bootTime(host), hostNamespaces, ownPid: process.pid };
}

/** Of PID 1; where that is denied, of kthreadd, which never leaves the first namespaces. */
function hostNamespace(host: Host, name: string): string | undefined {
  for (const pid of ['1', '2']) {
    try {
      return readlinkSync(`${host.proc}/${pid}/ns/${name}`);
    } catch {
      // the other may tell
    }
  }
  return undefined;
}

function bootTime(host: Host): number | undefined {
  try {
    const seconds = /^btime (\d+)$/m.exec(readKernelText(`${host.proc}/stat`, 4 * 1024 * 1024))?.[1];
    return seconds === undefined ? undefined : Number(seconds) * 1000;
  } catch {
    return undefined; // start times then stand in ticks only
  }
}
