// Files that are in memory only: /dev/shm, /run, pods' memory volumes, and what containers mount for themselves.
import { type Artefact, type Collector, type GapReport, gap } from '../../capture/index.ts';
import { Channel, describeError, jsonLines, type Member, type MemberRecord, tarArchive } from '../../evidence/index.ts';
import type { NodeContext } from '../context.ts';
import { deviceText } from '../host/device-number.ts';
import { gapOf, Refusal } from '../host/errno.ts';
import { type Mounts, readMounts } from '../host/mounts.ts';
import { paced, type TreeItem, walkTree } from '../host/tree.ts';
import { memberOf } from '../host/tree-archive.ts';
import { tmpfsRow } from './tmpfs/row.ts';
import { neverAnswers, type Superblock, superblocks, type Way } from './tmpfs/superblocks.ts';

const ARCHIVE = '60-file/tmpfs.tar.zst';
const TABLE = '60-file/tmpfs.jsonl';
const MIB = 1024 ** 2;
/** Content of all files, of one file system, of one file (a database's shared memory can be most of the machine's). */
const MAX_BYTES = 4096 * MIB;
const BLOCK_BYTES = 1024 * MIB;
const FILE_BYTES = 256 * MIB;
/** Names in one file system, so that one container cannot take the room of all others. */
const MAX_ITEMS = 50_000;

export const tmpfs: Collector<NodeContext> = Object.freeze({
  name: 'tmpfs',
  description: "Files in memory: /dev/shm, /run, pods' memory volumes, tmpfs of every mount namespace",
  phase: 'bulk',
  volatility: 62,
  artefacts: [ARCHIVE, TABLE],
  needs: [
    { kind: 'capability', name: 'CAP_SYS_PTRACE', without: 'what other mount namespaces hold' },
    { kind: 'capability', name: 'CAP_DAC_READ_SEARCH', without: "other users' files" },
  ],
  limits: { bytes: MAX_BYTES + 512 * MIB, seconds: 180 },
  collect,
} satisfies Collector<NodeContext>);

type Rows = Channel<Record<string, unknown>>;

async function* collect(context: NodeContext): AsyncGenerator<Artefact | GapReport> {
  const blocks = await superblocks(context);
  if (blocks.length === 0) {
    yield gap('absent', ARCHIVE, 'no file system in memory is mounted');
    return;
  }
  const rows: Rows = new Channel(64);
  const source = 'mounts of types tmpfs, ramfs, devtmpfs in /proc/PID/mountinfo';
  yield { kind: 'artefact', path: ARCHIVE, source, content: archive(context, blocks, rows) };
  yield { kind: 'artefact', path: TABLE, source, content: jsonLines(rows) };
  await rows.drained;
}

async function* archive(context: NodeContext, blocks: readonly Superblock[], rows: Rows): AsyncGenerator<Uint8Array> {
  try {
    yield* tarArchive(members(context, blocks, rows));
  } catch (error) {
    rows.end(new Error(describeError(error)));
    throw error;
  } finally {
    rows.end();
  }
}

async function* members(context: NodeContext, blocks: readonly Superblock[], rows: Rows): AsyncGenerator<Member> {
  let left = MAX_BYTES;
  for (const block of blocks) {
    const share = Math.min(left, BLOCK_BYTES);
    const budget = { left: share };
    yield* membersOf(context, block, budget, rows);
    left -= share - budget.left;
  }
}

/** By the first way that leads there; another mount may hide a way, its process may have ended. */
async function* membersOf(
  context: NodeContext,
  block: Superblock,
  budget: { left: number },
  rows: Rows,
): AsyncGenerator<Member> {
  const why: { readonly kind: 'gap' }[] = [];
  for (const way of block.ways) {
    const items = itemsOf(context, block, way);
    if ('kind' in items) {
      why.push(items);
      continue;
    }
    const options = {
      prefix: `${way.mntns === undefined ? 'host' : `mntns-${way.mntns}`}${text(way.path).replace(/\/$/, '')}/`,
      label: labelOf(way),
      gap: context.gap,
      fileBytes: FILE_BYTES,
      budget,
      recorded: (record: MemberRecord, item: TreeItem) => rows.push(tmpfsRow(record, item, block, way)),
    };
    for await (const item of paced(items.items)) {
      const member = memberOf(item, options);
      if (member !== undefined) yield member;
    }
    return;
  }
  const [first] = why;
  if (first !== undefined) context.gap(first as GapReport);
}

/** The walk, begun: its first item has shown that the right file system stands there. */
function itemsOf(
  context: NodeContext,
  { device }: Superblock,
  way: Way,
): GapReport | { readonly items: Iterable<TreeItem> } {
  const label = labelOf(way);
  const path = text(way.point);
  if (way.closed !== undefined) return gap('skipped', label, way.closed);
  if (Buffer.from(path).toString('latin1') !== way.point) return gap('skipped', label, 'its mount point is no UTF-8');
  let mounts: Mounts | undefined;
  try {
    mounts = mountsOf(context, way);
  } catch (error) {
    return gapOf(error, label);
  }
  let failed: GapReport | undefined;
  let begun = false;
  const walk = walkTree(way.base, path, {
    ...(mounts === undefined ? {} : { mounts, mountinfo: mountinfoOf(context, way) }),
    label,
    gap: (found) => {
      if (begun) context.gap(found);
      else failed = { kind: 'gap', ...found };
    },
    signal: context.signal,
    items: MAX_ITEMS,
    leaveOut: context.ownFolders,
    // what is mounted in it is taken by itself, or is another collector's
    enter: ({ stats }) => deviceText(stats.dev) === device,
  });
  try {
    const first = walk.next();
    if (first.done === true) return failed ?? gap('vanished', label);
    if (deviceText(first.value.stats.dev) !== device) {
      walk.return(undefined);
      return gap('skipped', label, 'hidden below what is mounted over it');
    }
    begun = true;
    return { items: resumed(first.value, walk) };
  } catch (error) {
    return gapOf(error, label);
  }
}

/** Those of another namespace, as they are now: one that never answers may have come since it was listed. */
function mountsOf(context: NodeContext, way: Way): Mounts | undefined {
  if (way.process === undefined) return undefined;
  const mounts = readMounts(mountinfoOf(context, way));
  const root = mounts.at('/');
  if (root?.blocking) throw new Refusal('skipped', neverAnswers(root.type));
  return mounts;
}

function mountinfoOf({ host }: NodeContext, { process }: Way): string {
  return `${host.proc}/${process?.pid ?? 'self'}/mountinfo`;
}

function* resumed(first: TreeItem, rest: Generator<TreeItem>): Generator<TreeItem> {
  try {
    yield first;
    yield* rest;
  } finally {
    rest.return(undefined);
  }
}

function labelOf({ path, mntns }: Way): string {
  return mntns === undefined ? text(path) : `mount namespace ${mntns}: ${text(path)}`;
}

function text(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8');
}
