// Home directories of a host: those of /etc/passwd, /root, and whatever stands in /home. passwd(5).
import { closeSync, opendirSync, readSync } from 'node:fs';
import type { Gap } from '../../../evidence/index.ts';
import { gapOf } from '../../host/errno.ts';
import { openPinned } from '../../host/open.ts';
import { pinAt, type Root } from '../../host/pin.ts';
import { isNotThere } from '../../host/tree.ts';

const MAX_PASSWD_BYTES = 4 * 1024 * 1024;
/** Users of one node; the rest is a gap. */
const MAX_HOMES = 5000;
/** What accounts have that have no home; all users' files below "/" would be the host's own. */
const NO_HOMES = new Set(['', '/', '/nonexistent', '/dev/null', '/var/empty', '/proc', '/sys']);

/** Names in a home, and in all of them, that are known by heart. */
const MAX_NAMES = 2000;
const MAX_ALL_NAMES = 500_000;

export interface Home {
  /** Real path below the root, without "/" first. */
  readonly path: Buffer;
  /** The folder's owner: no user can make that another. */
  readonly uid: number;
  /** What stands in it, one character a byte; undefined where that is too much or was denied. */
  readonly names?: readonly string[];
}

/** User IDs below are of root and the system, login.defs(5). */
const FIRST_USER = 1000;

export function isSystem({ uid }: Home): boolean {
  return uid < FIRST_USER;
}

/** Each once, only folders that are there: root's first, then those of the system's accounts, then the users'. */
export function homeDirectories(root: Root, gap: (gap: Gap) => void): readonly Home[] {
  const homes = new Map<string, Home>();
  let room = MAX_ALL_NAMES;
  let left = 0;
  for (const named of [Buffer.from('/root'), ...listed(root, gap), ...fromPasswd(root, gap)]) {
    try {
      const { fd, path, kind, stats } = pinAt(root, named, 'all');
      try {
        const key = path.toString('latin1');
        if (kind !== 'directory' || path.length === 0 || homes.has(key)) continue;
        if (homes.size >= MAX_HOMES) {
          left++;
          continue;
        }
        const names = namesIn(fd, Math.min(room, MAX_NAMES));
        room -= names?.length ?? 0;
        homes.set(key, { path, uid: Number(stats.uid), ...(names === undefined ? {} : { names }) });
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      if (!isNotThere(error)) gap(gapOf(error, `home ${named.toString('utf8')}`, 'absent'));
    }
  }
  if (left > 0) gap({ reason: 'truncated', name: `${left} home directories left`, detail: `more than ${MAX_HOMES}` });
  const rank = (home: Home): number => (home.uid === 0 ? 0 : isSystem(home) ? 1 : 2);
  return [...homes.values()].toSorted((a, b) => rank(a) - rank(b));
}

function namesIn(pinned: number, most: number): readonly string[] | undefined {
  try {
    const folder = opendirSync(`/proc/self/fd/${pinned}`, { encoding: 'buffer' as BufferEncoding });
    try {
      const names: string[] = [];
      for (let entry = folder.readSync(); entry !== null; entry = folder.readSync()) {
        if (names.length >= most) return undefined;
        names.push((entry.name as unknown as Buffer).toString('latin1'));
      }
      return names;
    } finally {
      folder.closeSync();
    }
  } catch {
    return undefined; // denied: each file that is looked for in it will say so
  }
}

function fromPasswd(root: Root, gap: (gap: Gap) => void): Buffer[] {
  try {
    const pinned = pinAt(root, Buffer.from('/etc/passwd'), 'all');
    try {
      const { fd } = openPinned(pinned.fd);
      try {
        const bytes = Buffer.allocUnsafe(MAX_PASSWD_BYTES);
        const text = bytes.toString('latin1', 0, readSync(fd, bytes, 0, bytes.length, 0));
        const homes = text.split('\n').map((line) => line.split(':')[5] ?? '');
        return homes
          .filter((home) => home.startsWith('/') && !NO_HOMES.has(home))
          .map((home) => Buffer.from(home, 'latin1'));
      } finally {
        closeSync(fd);
      }
    } finally {
      closeSync(pinned.fd);
    }
  } catch (error) {
    gap(gapOf(error, '/etc/passwd, for home directories', 'absent'));
    return [];
  }
}

function listed(root: Root, gap: (gap: Gap) => void): Buffer[] {
  const found: Buffer[] = [];
  try {
    const pinned = pinAt(root, Buffer.from('/home'), 'all');
    try {
      const folder = opendirSync(`/proc/self/fd/${pinned.fd}`, { encoding: 'buffer' as BufferEncoding });
      try {
        for (let entry = folder.readSync(); entry !== null && found.length <= MAX_HOMES; entry = folder.readSync()) {
          found.push(Buffer.concat([Buffer.from('/home/'), entry.name as unknown as Buffer]));
        }
      } finally {
        folder.closeSync();
      }
    } finally {
      closeSync(pinned.fd);
    }
  } catch (error) {
    if (!isNotThere(error)) gap(gapOf(error, '/home', 'absent'));
  }
  return found;
}
