// Finds what lists of path patterns mean on this host: each file once, what links lead to included, kinds not opened.
import { closeSync } from 'node:fs';
import type { Gap } from '../../../evidence/index.ts';
import { gapOf } from '../../host/errno.ts';
import { type Pinned, pinAt, type Root, type TreeKind } from '../../host/pin.ts';
import { isNotThere, nameBelow, type TreeItem, walkTree } from '../../host/tree.ts';
import type { Home } from './homes.ts';
import { matches, type Pattern, parsePattern, reach } from './pattern.ts';

/** Files of one sort, and why they are wanted. */
export interface FileGroup {
  /** As the table names it: "cron", "systemd unit". */
  readonly what: string;
  /** Host paths with "*" and "**"; "~/" is every home directory. */
  readonly paths: readonly string[];
  /** Bytes of one file that are kept. */
  readonly fileBytes: number;
  /** Which end of a file over its bound is kept; the first bytes where absent. */
  readonly keep?: 'last';
  /** Bytes of a record, so that the last bytes begin with a whole one. */
  readonly record?: number;
  /** False where that there is none says nothing. */
  readonly expected?: false;
}

export interface Found {
  readonly group: FileGroup;
  /** Below the root, raw bytes, no "/" first and no link on the way. */
  readonly path: Buffer;
  readonly kind: TreeKind;
  readonly size: number;
  readonly mtime: bigint;
  /** "DEVICE INODE" when it was listed. */
  readonly identity: string;
  /** Whose pattern led here. */
  readonly home?: Home;
  readonly share?: Share;
}

/** Bytes that are left for a file and those it shares them with: counted down. */
export interface Share {
  /** On disk. */
  left: number;
  /** With their holes. */
  lengthLeft: number;
}

export interface FindOptions {
  readonly root: Root;
  readonly homes: readonly Home[];
  gap(gap: Gap): void;
  readonly signal: { readonly aborted: boolean };
  /** Names looked at in one pattern's folder, and below a home, where its owner decides how many there are. */
  readonly items: number;
  readonly homeItems: number;
  readonly leaveOut: readonly string[];
}

/**
 * First what stands at fixed places, then home after home. A file is given once; only what a link in somebody's home led
 * to is given again where it is found in its own home, since that is the one it belongs to. Undefined stands for a step
 * that gave nothing: `paced` needs them to give the event loop its turn.
 */
export function* findListed(groups: readonly FileGroup[], options: FindOptions): Generator<Found | undefined> {
  /** True where it was found in its own home, or outside of all. */
  const seen = new Map<string, boolean>();
  const any = new Set<FileGroup>();
  for (const home of [undefined, ...options.homes]) {
    const walked = new Set<string>();
    for (const group of groups) {
      const gap = (found: Gap): void => {
        any.add(group); // something was there that could not be had
        options.gap(found);
      };
      for (const found of inGroup(group, home, { ...options, gap, walked })) {
        if (options.signal.aborted) return;
        if (found !== undefined) any.add(group);
        const key = found?.path.toString('latin1') ?? '';
        const before = seen.get(key);
        if (found === undefined || before === true || (before === false && !isOwnHome(found))) {
          yield undefined;
          continue;
        }
        seen.set(key, isOwnHome(found));
        yield found;
      }
    }
  }
  for (const group of groups.filter((one) => !any.has(one) && one.expected !== false))
    options.gap({ reason: 'absent', name: group.what, detail: 'none of the paths where it is looked for' });
}

/** False where a link out of a home led to it: its owner did not put it there. */
function isOwnHome({ home, path }: Found): boolean {
  return home === undefined || path.subarray(0, home.path.length + 1).equals(Buffer.concat([home.path, SLASH]));
}

interface Search extends FindOptions {
  /** Folders with the patterns below them, of one home: two lists' paths may lead to one, /lib to /usr/lib. */
  readonly walked: Set<string>;
}

function* inGroup(group: FileGroup, home: Home | undefined, options: Search): Generator<Found | undefined> {
  const search = home === undefined ? options : { ...options, items: options.homeItems };
  for (const path of group.paths) {
    if (path.startsWith('~/') !== (home !== undefined)) continue;
    const pattern = parsePattern(home === undefined ? path : path.slice(2));
    const [first = ''] = [...pattern.fixed, ...pattern.rest];
    yield undefined;
    if (home?.names !== undefined && !home.names.some((name) => matches(first, name))) continue;
    for (const found of expand(group, home?.path ?? NO_HOME, pattern, search))
      yield found && home !== undefined ? { ...found, home } : found;
  }
}

/** What stands at the fixed names, and what matches the rest below it. */
function* expand(
  group: FileGroup,
  start: Buffer,
  { fixed, rest }: Pattern,
  options: Search,
): Generator<Found | undefined> {
  const at = Buffer.concat([start, Buffer.from(`/${fixed.join('/')}`)]);
  const pinned = tryPin(at, rest.length === 0 ? 'on-the-way' : 'all', options);
  if (pinned === undefined) return;
  closeSync(pinned.fd);
  if (isOwn(pinned.path, options)) return;
  if (rest.length === 0) yield* whole(group, pinned, options);
  else if (pinned.kind === 'directory') yield* walked(group, pinned.path, rest, options);
}

function* walked(
  group: FileGroup,
  folder: Buffer,
  rest: readonly string[],
  options: Search,
): Generator<Found | undefined> {
  const key = `${folder.toString('latin1')}\0${rest.join('/')}`;
  if (options.walked.has(key)) return;
  options.walked.add(key);
  const text = folder.toString('utf8');
  const label = `/${text}`;
  if (!Buffer.from(text).equals(folder)) {
    options.gap({ reason: 'skipped', name: label, detail: 'a link on the way leads to a name that is no UTF-8' });
    return;
  }
  const links: { readonly item: TreeItem; readonly left: readonly (readonly string[])[] }[] = [];
  const items = walkTree(options.root.path, label, {
    label,
    gap: options.gap,
    signal: options.signal,
    items: options.items,
    leaveOut: options.leaveOut,
    enter: ({ path }) => reach(rest, namesOf(path)).below,
  });
  for (const item of items) {
    const reached = reach(rest, namesOf(item.path));
    const path = item.path.length === 0 ? folder : Buffer.concat([folder, SLASH, item.path]);
    if (reached.whole) yield* whole(group, { ...item, path }, options);
    else yield undefined;
    if (item.kind === 'symlink' && reached.left.length > 0) links.push({ item: { ...item, path }, left: reached.left });
  }
  // a folder of the pattern that is a link: followed as the host would
  for (const { item, left } of links) {
    const target = tryPin(item.path, 'all', options);
    if (target === undefined) continue;
    closeSync(target.fd);
    if (target.kind === 'directory') for (const more of left) yield* walked(group, target.path, more, options);
  }
}

/** The item itself, and where it is a link what that leads to. */
function* whole(group: FileGroup, item: Pick<Pinned, 'path' | 'kind' | 'stats'>, options: Search): Generator<Found> {
  yield foundOf(group, item);
  if (item.kind !== 'symlink') return;
  const target = tryPin(item.path, 'all', options);
  if (target === undefined) return; // it leads nowhere, which the link itself shows
  closeSync(target.fd);
  if (isNull(target)) return; // a masked unit, a history nobody keeps: the link says it all
  if (target.kind === 'file') {
    if (!isOwn(target.path, options)) yield foundOf(group, target);
    return;
  }
  const name = `/${item.path.toString('utf8')}`;
  const what = target.kind === 'directory' ? 'a folder: what is in it is not taken' : `no file, but a ${target.kind}`;
  options.gap({ reason: 'skipped', name, detail: `a link that leads to ${what}` });
}

/** Undefined where nothing is; any other reason is a gap. */
function tryPin(path: Buffer, links: 'all' | 'on-the-way', options: Search): Pinned | undefined {
  try {
    return pinAt(options.root, path, links);
  } catch (error) {
    if (!isNotThere(error)) options.gap(gapOf(error, nameBelow('/', path).replace(/^\/+/, '/'), 'absent'));
    return undefined;
  }
}

function isOwn(path: Buffer, { root, leaveOut }: Search): boolean {
  const seenAs = `${root.path === '/' ? '' : root.path}/${path.toString('utf8')}`;
  return leaveOut.some((own) => seenAs === own || seenAs.startsWith(`${own}/`));
}

/** /dev/null, see null(4): character device 1:3. */
function isNull({ kind, stats }: Pinned): boolean {
  return kind === 'character-device' && stats.rdev === 0x103n;
}

function foundOf(group: FileGroup, { path, kind, stats }: Pick<Pinned, 'path' | 'kind' | 'stats'>): Found {
  return { group, path, kind, size: Number(stats.size), mtime: stats.mtimeNs, identity: `${stats.dev} ${stats.ino}` };
}

const SLASH = Buffer.from('/');
const NO_HOME = Buffer.alloc(0);

function namesOf(path: Buffer): string[] {
  return path.length === 0 ? [] : path.toString('latin1').split('/');
}
