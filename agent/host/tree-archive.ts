// A walked tree as members of an archive: names, owners, times and content as they are, within bounds that are declared.
import { closeSync } from 'node:fs';
import type { Gap, Member, MemberRecord } from '../../evidence/index.ts';
import { deviceNumber } from './device-number.ts';
import { gapOf } from './errno.ts';
import { memberFields } from './file-fields.ts';
import { streamFile } from './read.ts';
import { nameBelow, type TreeItem } from './tree.ts';

export interface MemberOptions {
  /** Put before each name, with its "/": "var/log/". Without one the tree's own root has no name and is left out. */
  readonly prefix: string;
  /** What the tree is called in gaps. */
  readonly label: string;
  gap(gap: Gap): void;
  /** Bytes of one file that are kept; its first ones. */
  readonly fileBytes: number;
  /** Bytes of content that are left for the whole archive: counted down. */
  readonly budget: { left: number };
  readonly recorded?: (record: MemberRecord, item: TreeItem) => Promise<unknown>;
}

const EMPTY = new Uint8Array(0);
/** A larger file without a block has no byte that is not zero. */
const HOLE_BYTES = 65_536;

/** Undefined for what an archive cannot hold or may not be read; why is a gap. The content is read when it is archived. */
export function memberOf(item: TreeItem, options: MemberOptions): Member | undefined {
  const { prefix, label, gap, recorded } = options;
  const name = Buffer.concat([Buffer.from(prefix), item.path]);
  const shown = nameBelow(label, item.path);
  if (name.length === 0) return undefined;
  if (item.kind === 'socket') {
    gap({ reason: 'skipped', name: shown, detail: 'a socket: an archive has no such member' });
    return undefined;
  }
  const { stats } = item;
  const about: Member = {
    name: item.path.length === 0 ? prefix.replace(/\/$/, '') : name,
    kind: item.kind,
    ...memberFields(stats),
    ...(item.linkTarget === undefined ? {} : { linkTarget: item.linkTarget }),
    ...(item.kind.endsWith('-device') ? { device: deviceNumber(stats.rdev) } : {}),
    ...(recorded === undefined ? {} : { recorded: (record: MemberRecord) => recorded(record, item) }),
  };
  return item.kind === 'file' ? withContent(about, item, shown, options) : about;
}

function withContent(about: Member, item: TreeItem, shown: string, options: MemberOptions): Member | undefined {
  const { gap, fileBytes, budget } = options;
  try {
    const file = item.open();
    const all = Number(file.stats.size);
    const onDisk = Number(file.stats.blocks) * 512;
    // holes cost nobody anything, and so take nothing from the files that have bytes
    const size = onDisk > budget.left ? Math.min(all, fileBytes, budget.left) : Math.min(all, fileBytes);
    budget.left -= Math.min(size, onDisk);
    // small files may lie in their inode, with no block of their own
    const hole = onDisk === 0 && all > HOLE_BYTES;
    if (size === 0 || hole) {
      closeSync(file.fd);
      if (hole) return { ...about, content: EMPTY, truncated: `${all} bytes of zeros left: none of it is on the disk` };
      if (all === 0) return { ...about, content: EMPTY };
    }
    const content = size === 0 ? EMPTY : { size, bytes: streamFile(file, size) };
    if (size === all) return { ...about, content };
    const why = size === fileBytes ? `larger than ${fileBytes} bytes` : 'the archive has its bytes';
    const sparse = onDisk < all ? `, ${onDisk} of them on disk` : '';
    gap({ reason: 'truncated', name: `${shown}: ${all - size} of ${all} bytes left${sparse}`, detail: why });
    return { ...about, content, truncated: `${all - size} bytes left: ${why}` };
  } catch (error) {
    gap(gapOf(error, shown));
    return undefined;
  }
}
