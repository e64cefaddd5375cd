// What a walk over a tree remembers of folders: which it has entered, and how the names of one are best had.
import { type BigIntStats, opendirSync, readdirSync, statfsSync } from 'node:fs';

/** Folders that were entered, by device and inode: a tree that is bound into itself is entered once. */
export class Folders {
  /** Numbers take a fifth of what texts do, and there may be millions. */
  readonly #inodes = new Map<bigint, Set<number | bigint>>();

  add({ dev, ino }: BigIntStats): void {
    const inodes = this.#inodes.get(dev) ?? new Set();
    if (inodes.size === 0) this.#inodes.set(dev, inodes);
    inodes.add(compact(ino));
  }

  has({ dev, ino }: BigIntStats): boolean {
    return this.#inodes.get(dev)?.has(compact(ino)) === true;
  }
}

function compact(inode: bigint): number | bigint {
  return inode <= Number.MAX_SAFE_INTEGER ? Number(inode) : inode;
}

/** File systems where a name takes at least a byte of its folder's size: ext, XFS, Btrfs, tmpfs; statfs(2). */
const SIZED: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994]);
const SHORT_BYTES = 65_536n;

/** Raw names of folders: in one call where the folder's size tells that they are few, which takes half the time. */
export class FolderNames {
  /** By device, whether a folder's size grows with its names. */
  readonly #sized = new Map<bigint, boolean>();

  /** `at` is a path of the folder that cannot change meanwhile. Throws the system's errors. */
  of(at: string, { dev, size }: BigIntStats): Iterable<Buffer> {
    return size <= SHORT_BYTES && this.#isSized(at, dev) ? readdirSync(at, { encoding: 'buffer' }) : namesInTurn(at);
  }

  #isSized(at: string, device: bigint): boolean {
    const known = this.#sized.get(device);
    if (known !== undefined) return known;
    const sized = SIZED.has(statfsSync(at).type);
    this.#sized.set(device, sized);
    return sized;
  }
}

/** Names of a folder of any size, some hundreds at a time. */
function* namesInTurn(at: string): Generator<Buffer> {
  // Node's types know no raw names here, though it gives them
  const listing = opendirSync(at, { encoding: 'buffer' as BufferEncoding, bufferSize: 256 });
  try {
    for (let entry = listing.readSync(); entry !== null; entry = listing.readSync())
      yield entry.name as unknown as Buffer;
  } finally {
    listing.closeSync();
  }
}
