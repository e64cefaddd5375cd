// Worker thread: walks the trees and sends the bodyfile in chunks, waiting for credit between them.
import { createHash } from 'node:crypto';
import { closeSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { Gap } from '../../../evidence/index.ts';
import { gapOf } from '../../host/errno.ts';
import { nameBelow, type TreeItem, walkTree } from '../../host/tree.ts';
import { bodyLine } from './body.ts';
import { CREDIT, type SetIdFile, STOP, type TimelineMessage, type TimelineOrder } from './shared.ts';

/** Characters of a chunk, and how many of the other things travel with it at most. */
const CHUNK_CHARACTERS = 256 * 1024;
const CHUNK_ITEMS = 4096;
/** Of one set-id file that is hashed; such programs are small. */
const MAX_HASHED_BYTES = 64 * 1024 ** 2;
/** A machine has some dozens of them. */
const MAX_HASHED_FILES = 1000;
const EXECUTE = 0o111n;
const SET_ID = 0o6000n;

Error.stackTraceLimit = 0;
run(workerData as TimelineOrder);

function run(order: TimelineOrder): void {
  const counters = new Int32Array(order.counters);
  const elsewhere = new Set(order.elsewhere);
  const counts: number[] = [];
  const signal = {
    get aborted(): boolean {
      return Atomics.load(counters, STOP) !== 0;
    },
  };
  let lines: string[] = [];
  let size = 0;
  let setId: SetIdFile[] = [];
  let executables: { readonly tree: number; readonly path: string }[] = [];
  let gaps: Gap[] = [];
  let hashed = 0;
  const flush = (): void => {
    while (Atomics.load(counters, CREDIT) <= 0 && !signal.aborted) Atomics.wait(counters, CREDIT, 0, 200);
    Atomics.sub(counters, CREDIT, 1);
    const text = new TextEncoder().encode(lines.join(''));
    post({ kind: 'chunk', text, setId, executables, gaps }, [text.buffer as ArrayBuffer]);
    [lines, size, setId, executables, gaps] = [[], 0, [], [], []];
  };
  let left = order.items;
  for (const [index, tree] of order.trees.entries()) {
    let count = 0;
    const base = order.root === '/' ? '' : order.root;
    const within = tree.path === '/' ? '' : tree.path;
    const seenAs = Buffer.from(`${base}${within}`).toString('latin1');
    const gap = (found: Gap): unknown => gaps.push(found);
    const enter = ({ path }: TreeItem): boolean => !elsewhere.has(`${seenAs}/${path.toString('latin1')}`);
    const options = { label: tree.label, gap, signal, items: left, leaveOut: order.leaveOut, enter };
    for (const item of walkTree(order.root, tree.path, options)) {
      count++;
      const line = bodyLine(tree.prefix, item);
      lines.push(line);
      size += line.length;
      if (item.kind === 'file' && (item.stats.mode & (EXECUTE | SET_ID)) !== 0n) {
        if ((item.stats.mode & SET_ID) !== 0n) setId.push(setIdFile(index, item, nameBelow(tree.label, item.path)));
        const path = item.path.toString('utf8');
        if ((item.stats.mode & EXECUTE) !== 0n) executables.push({ tree: index, path });
      }
      if (size >= CHUNK_CHARACTERS || executables.length >= CHUNK_ITEMS || gaps.length >= CHUNK_ITEMS) flush();
    }
    left -= count;
    counts.push(count);
  }
  flush();
  post({ kind: 'end', counts, gaps });

  function setIdFile(tree: number, item: TreeItem, shown: string): SetIdFile {
    const { path, stats } = item;
    let sha256: string | undefined;
    if (hashed < MAX_HASHED_FILES && stats.size <= MAX_HASHED_BYTES) {
      hashed++;
      try {
        sha256 = digest(item);
      } catch (error) {
        gaps.push(gapOf(error, `${shown}: content`));
      }
    } else {
      const detail = `SHA-256 of set-id files: ${MAX_HASHED_FILES} files of ${MAX_HASHED_BYTES} bytes at most`;
      gaps.push({ reason: 'truncated', name: `${shown}: content`, detail });
    }
    return {
      tree,
      path: new Uint8Array(path),
      mode: Number(stats.mode),
      uid: Number(stats.uid),
      gid: Number(stats.gid),
      size: Number(stats.size),
      inode: String(stats.ino),
      device: String(stats.dev),
      mtime: stats.mtimeNs,
      ctime: stats.ctimeNs,
      ...(sha256 === undefined ? {} : { sha256 }),
    };
  }
}

function digest(item: TreeItem): string {
  const { fd } = item.open();
  try {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(256 * 1024);
    let position = 0;
    while (position < MAX_HASHED_BYTES) {
      const got = readSync(fd, buffer, 0, buffer.length, position);
      if (got === 0) break;
      hash.update(buffer.subarray(0, got));
      position += got;
    }
    return hash.digest('hex');
  } finally {
    closeSync(fd);
  }
}

function post(message: TimelineMessage, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}
