// One container's upper directory as members of an archive, with a row of drift for each.
import { type BigIntStats, closeSync } from 'node:fs';
import type { Gap, Member, MemberRecord } from '../../../evidence/index.ts';
import type { NodeContext } from '../../context.ts';
import { errnoOf, gapOf, VANISHED } from '../../host/errno.ts';
import { pinBelow } from '../../host/open.ts';
import { resolveBelow } from '../../host/resolve.ts';
import { nameBelow, paced, type TreeItem, walkTree } from '../../host/tree.ts';
import { memberOf } from '../../host/tree-archive.ts';
import { type LowerLayers, lowerLayers } from './lower.ts';
import { marksOf } from './overlay.ts';
import type { Executed } from './processes.ts';
import { type DriftItem, driftRow } from './row.ts';
import type { LayerTarget } from './targets.ts';
import { readXattrs, type Xattrs } from './xattrs.ts';

/** Of one file: a log or a database that grew, a dropped archive. */
const FILE_BYTES = 2 * 1024 ** 3;
/** Larger files are archived after all others. */
const LARGE_BYTES = 32 * 1024 ** 2;
const XATTRS = 'extended attributes of more than 128 KiB of base64: an archive has the first of them';
/** Names of one container. */
const MAX_ITEMS = 1_000_000;

export interface LayerOptions {
  /** Bytes of content that are left for this container's archive: counted down. */
  readonly budget: { left: number };
  readonly executed: ReadonlyMap<string, Executed>;
  row(row: Record<string, unknown>): Promise<unknown>;
}

export async function* layerMembers(
  context: NodeContext,
  { container }: LayerTarget,
  { budget, executed, row }: LayerOptions,
): AsyncGenerator<Member> {
  const { host, signal, ownFolders } = context;
  const label = `container ${container.id} upper directory`;
  const gap = (found: Gap): void => context.gap(found);
  const folders = realFolders(host.root, container.layer, label, gap);
  if (folders === undefined) return;
  const { upper, lower } = folders;
  const xattrs = await readXattrs(context, host.path(upper), label);
  const below = lowerLayers(host.root, lower);
  // large files come last, so that nobody can fill the archive's bytes before the small ones are in it
  const later = new Set<string>();
  const pass = async function* (first: boolean): AsyncGenerator<Member> {
    const told = first ? gap : (): void => undefined;
    const items = walkTree(host.root, upper, { label, gap: told, signal, items: MAX_ITEMS, leaveOut: ownFolders });
    for await (const item of paced(items)) {
      const path = item.path.toString('latin1');
      if (path === '') continue; // the container's "/" itself
      if (first && item.kind === 'file' && item.stats.size > LARGE_BYTES) later.add(path);
      const wanted = first ? !later.has(path) : later.delete(path);
      if (!wanted && item.kind !== 'directory') continue;
      const about = aboutItem(item, below, label, xattrs.get(path), wanted ? gap : told);
      if (!wanted) continue;
      const drift = { container, item, ...about, executed: executed.get(path) };
      const recorded = ({ path, sha256, truncated, xattrs = {} }: MemberRecord): Promise<unknown> => {
        const left = (about.xattrs?.size ?? 0) - Object.keys(xattrs).length;
        if (left > 0)
          gap({ reason: 'truncated', name: `${nameBelow(label, item.path)}: ${left} attributes left`, detail: XATTRS });
        return row(driftRow({ ...drift, member: path, sha256: truncated === undefined ? sha256 : undefined }));
      };
      const member = memberOf(item, { prefix: '', label, gap, fileBytes: FILE_BYTES, budget, recorded });
      if (member === undefined) await row(driftRow(drift));
      else yield about.xattrs === undefined ? member : { ...member, xattrs: about.xattrs };
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

/** The folders without links on the way to them (an engine's own folder may be one); undefined without an upper one. */
function realFolders(
  root: string,
  layer: LayerTarget['container']['layer'],
  label: string,
  gap: (gap: Gap) => void,
): { readonly upper: string; readonly lower: readonly string[] } | undefined {
  const real = (path: string, name: string): string | undefined => {
    try {
      const found = resolveBelow(root, path);
      closeSync(pinBelow(root, found));
      return found;
    } catch (error) {
      gap(gapOf(error, name));
      return undefined;
    }
  };
  const upper = real(layer.upper, label);
  if (upper === undefined) return undefined;
  return { upper, lower: layer.lower.map((path) => real(path, `lower directory ${path}`) ?? path) };
}

type About = Pick<DriftItem, 'marks' | 'lower' | 'xattrs'>;

/** What overlayfs says of an item, and what is below it. */
function aboutItem(
  item: TreeItem,
  below: LowerLayers,
  label: string,
  xattrs: Xattrs | undefined,
  gap: (gap: Gap) => void,
): About {
  const marks = marksOf(item, xattrs);
  let lower: BigIntStats | 'unknown' | undefined;
  try {
    lower = below.find(item.path);
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
