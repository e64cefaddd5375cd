// Whether a file that a container's process runs stands in the container's upper directory: then it was put there after
// the image was made, or changed since.
import { closeSync, fstatSync } from 'node:fs';
import type { Host } from '../../host/host.ts';
import { MAX_MOUNTINFO, mountLines, superOption } from '../../host/mountinfo.ts';
import { pinBelow } from '../../host/open.ts';
import { readKernelText } from '../../host/read.ts';
import type { HeldFile, ProcessSummary } from '../../host/walk.ts';

/** Asks for each process's root file system once a mount namespace. */
export function upperDirectory(host: Host): (process: ProcessSummary, held: HeldFile) => 'upper directory' | undefined {
  const known = new Map<number | undefined, string | undefined>();
  return (process, held) => {
    if (!known.has(process.mntns)) known.set(process.mntns, rootUpperDirectory(host, process.pid));
    const upper = known.get(process.mntns);
    return upper !== undefined && isFileIn(host, `${upper}/${held.target}`) ? 'upper directory' : undefined;
  };
}

/** The `upperdir` of the overlay mounted at the process's root; undefined where its root is no overlay. */
function rootUpperDirectory(host: Host, pid: number): string | undefined {
  try {
    const text = readKernelText(`${host.proc}/${pid}/mountinfo`, MAX_MOUNTINFO);
    const root = mountLines(text).find(({ point, type }) => point === '/' && type === 'overlay');
    return root === undefined ? undefined : superOption(root, 'upperdir');
  } catch {
    return undefined; // it has ended, or is denied: the walk has declared that
  }
}

function isFileIn(host: Host, path: string): boolean {
  try {
    const fd = pinBelow(host.root, path);
    try {
      return fstatSync(fd).isFile();
    } finally {
      closeSync(fd);
    }
  } catch {
    return false; // it stands in a lower layer: the image's own file
  }
}
