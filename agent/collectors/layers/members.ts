// One container's upper directory as members of an archive, with a row of drift for each.
import { type BigIntStats, closeSync } from 'node:fs';
import type { Gap, Member, MemberRecord } from '../../../evidence/index.ts';
import type { NodeContext } from '../../context.ts';
import { errnoOf, gapOf, VANISHED } from '../../host/errno.ts';
import { pinBelow } from '../../host/open.ts';
import { resolver } from '../../host/resolve.ts';
import { nameBelow, paced, type TreeItem, walkTree } from '../../host/tree.ts';
import { memberOf } from '../../host/tree-archive.ts';
import { type LowerLayers, lowerLayers } from './lower.ts';
import { hidesOf, type Marks, marksOf } from './overlay.ts';
import type { Executed } from './processes.ts';
import { type DriftItem, driftRow } from './row.ts';
import type { LayerTarget } from './targets.ts';
import { readXattrs, type XattrIndex, type Xattrs } from './xattrs.ts';

/** Of one file: a log or a database that grew, a dropped archive. */
const FILE_BYTES = 2 * 1024 ** 3;
/** Larger files are archived after all others, and so are sparse ones and further names of a file. */
const LARGE_BYTES = 32 * 1024 ** 2;
const METACOPY = 'metacopy: its content is in a lower layer';
const XATTRS = 'extended attributes of more than 128 KiB of base64: an archive has the first of them';
/** Of the folders in lower layers, for getfattr(1). */
const LOWER_MARKS = '^(trusted|user)[.]overlay[.](opaque|redirect)$';
/** Names of one container. */
const MAX_ITEMS = 1_000_000;

export interface LayerOptions {
  /** Bytes of content that are left for this container's archive: counted down. */
  readonly budget: { left: number };
  readonly executed: ReadonlyMap<string, Executed>;
  /** Marks on the folders of lower layers, by their paths: images share layers. */
  readonly lowerMarks: Map<string, Promise<XattrIndex>>;
  row(row: Record<string, unknown>): Promise<unknown>;
}

export async function* layerMembers(
  context: NodeContext,
  { container }: LayerTarget,
  { budget, executed, lowerMarks, row }: LayerOptions,
): AsyncGenerator<Member> {
  const { host, signal, ownFolders } = context;
  const label = `container ${container.id} upper directory`;
  const gap = (found: Gap): void => context.gap(found);
  const folders = realFolders(host.root, container.layer, label, gap);
  if (folders === undefined) return;
  const { upper, lower, gone } = folders;
  const xattrs = await readXattrs(context, host.path(upper), label);
  const userxattr = container.layer.userxattr === true;
  const marks: XattrIndex[] = [];
  for (const path of lower) {
    if (gone.has(path)) {
      marks.push(new Map());
      continue;
    }
    const read = lowerMarks.get(path) ?? readXattrs(context, host.path(path), `lower directory ${path}`, LOWER_MARKS);
    lowerMarks.set(path, read);
    marks.push(await read);
  }
  const below = lowerLayers(host.root, lower, (layer, path) => hidesOf(marks[layer]?.get(path), userxattr));
  // what costs the archive much and an intruder little comes last: nobody fills its bytes before the small files are in
  const costly = costlyFiles();
  const later = new Set<string>();
  const pass = async function* (first: boolean): AsyncGenerator<Member> {
    const told = first ? gap : (): void => undefined;
    const items = walkTree(host.root, upper, { label, gap: told, signal, items: MAX_ITEMS, leaveOut: ownFolders });
    for await (const item of paced(items)) {
      const path = item.path.toString('latin1');
      if (path === '') continue; // the container's "/" itself
      if (first && costly(item)) later.add(path);
      const wanted = first ? !later.has(path) : later.delete(path);
      if (!wanted && item.kind !== 'directory') continue;
      const itself = marksOf(item, xattrs.get(path), userxattr);
      const about = aboutItem(item, below, label, xattrs.get(path), itself, wanted ? gap : told);
      if (!wanted) continue;
      const drift = { container, item, ...about, executed: executed.get(path) };
      const recorded = ({ path, sha256, truncated, xattrs = {} }: MemberRecord): Promise<unknown> => {
        const left = (about.xattrs?.size ?? 0) - Object.keys(xattrs).length;
        if (left > 0)
          gap({ reason: 'truncated', name: `${nameBelow(label, item.path)}: ${left} attributes left`, detail: XATTRS });
        return row(driftRow({ ...drift, member: path, sha256: truncated === undefined ? sha256 : undefined }));
      };
      const { metacopy } = about.marks;
      const member = memberOf(item, {
        prefix: '',
        label,
        // nothing of this layer is lost with a metacopy's hole
        gap: (found) => (metacopy && found.reason === 'truncated' ? undefined : gap(found)),
        fileBytes: metacopy ? 0 : FILE_BYTES,
        budget,
        recorded,
      });
      if (member === undefined) await row(driftRow(drift));
      else
        yield {
          ...member,
          ...(metacopy ? { truncated: METACOPY } : {}),
          ...(about.xattrs === undefined ? {} : { xattrs: about.xattrs }),
        };
    }
  };
  try {
    yield* pass(true);
    if (later.size > 0) yield* pass(false);
    for (const path of later)
      gap({ reason: 'vanished', name: nameBelow(label, Buffer.from(path, 'latin1')), detail: VANISHED });
  } finally {
    below.close();
  }
}

/** True for large files, sparse ones, and all names of a file but the first that is asked about. */
function costlyFiles(): (item: TreeItem) => boolean {
  const linked = new Set<string>();
  return ({ kind, stats }) => {
    if (kind !== 'file') return false;
    const inode = `${stats.dev}:${stats.ino}`;
    if (linked.has(inode)) return true;
    if (stats.nlink > 1n) linked.add(inode);
    return stats.size > LARGE_BYTES || stats.blocks * 512n < stats.size;
  };
}

/** The folders without links on the way to them (an engine's own folder may be one); undefined without an upper one. */
function realFolders(
  root: string,
  layer: LayerTarget['container']['layer'],
  label: string,
  gap: (gap: Gap) => void,
): { readonly upper: string; readonly lower: readonly string[]; readonly gone: ReadonlySet<string> } | undefined {
  const resolve = resolver(root);
  const real = (path: string, name: string): string | undefined => {
    try {
      const found = resolve(path);
      closeSync(pinBelow(root, found));
      return found;
    } catch (error) {
      gap(gapOf(error, name));
      return undefined;
    }
  };
  const upper = real(layer.upper, label);
  if (upper === undefined) return undefined;
  const gone = new Set<string>();
  const lower = layer.lower.map((path) => {
    const found = real(path, `lower directory ${path}`);
    if (found === undefined) gone.add(path);
    return found ?? path;
  });
  return { upper, lower, gone };
}

type About = Pick<DriftItem, 'marks' | 'lower' | 'xattrs'>;

/** What overlayfs says of an item, and what is below it. */
function aboutItem(
  item: TreeItem,
  below: LowerLayers,
  label: string,
  xattrs: Xattrs | undefined,
  marks: Marks,
  gap: (gap: Gap) => void,
): About {
  let lower: BigIntStats | 'unknown' | undefined;
  try {
    // what was renamed has its lower one under another name, and so has all that is below it
    lower = marks.redirect === undefined ? below.find(item.path) : 'unknown';
  } catch (error) {
    lower = 'unknown';
    gap(gapOf(error, nameBelow(`${label}: lower layers`, item.path)));
  }
  if (item.kind !== 'directory') return { marks, lower, xattrs };
  try {
    const shows = lower === 'unknown' ? 'unknown' : lower?.isDirectory() === true;
    below.enter(item.path, marks.opaque ? false : shows);
  } catch (error) {
    const name = nameBelow(`${label}: lower layers`, item.path);
    const detail = 'too many lower folders to compare with at once';
    gap(errnoOf(error) === 'EMFILE' ? { reason: 'truncated', name, detail } : gapOf(error, name));
  }
  return { marks, lower, xattrs };
}
