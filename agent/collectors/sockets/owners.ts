// Who holds which socket: every descriptor of every process, by the socket's inode.
import type { ProcessSummary } from '../../host/walk.ts';

export interface Owner {
  readonly process: ProcessSummary;
  readonly fd: number;
}

export function ownersByInode(processes: readonly ProcessSummary[]): Map<number, Owner[]> {
  const owners = new Map<number, Owner[]>();
  for (const process of processes) {
    for (const { fd, inode } of process.sockets) {
      const known = owners.get(inode);
      if (known === undefined) owners.set(inode, [{ process, fd }]);
      else known.push({ process, fd });
    }
  }
  return owners;
}
