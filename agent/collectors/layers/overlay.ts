// What overlayfs writes into an upper directory, from the kernel's Documentation/filesystems/overlayfs.rst. Pure.
import type { TreeItem } from '../../host/tree.ts';
import type { Xattrs } from './xattrs.ts';

/** What the marks on one item of an upper directory say. */
export interface Marks {
  /** It stands for a name that was deleted. */
  readonly whiteout: boolean;
  /** Nothing of the lower folder of this name shows through. */
  readonly opaque: boolean;
  /** Only owner, mode or times changed: the content is the lower file's, and a hole of its size stands here. */
  readonly metacopy: boolean;
  /** Where the lower one is, if it was renamed: absolute, or a name in the same folder; one character a byte. */
  readonly redirect?: string;
}

export function marksOf(item: TreeItem, xattrs: Xattrs | undefined): Marks {
  // rootless overlays may set user attributes only
  const mark = (name: string): Uint8Array | undefined =>
    xattrs?.get(`trusted.overlay.${name}`) ?? xattrs?.get(`user.overlay.${name}`);
  // never as user attributes, which whoever is in the container sets: overlays with `userxattr` have neither of these two
  const redirect = xattrs?.get('trusted.overlay.redirect');
  const device = item.kind === 'character-device' && item.stats.rdev === 0n;
  return {
    whiteout: device || (item.kind === 'file' && item.stats.size === 0n && mark('whiteout') !== undefined),
    opaque: item.kind === 'directory' && text(mark('opaque')) === 'y',
    metacopy: item.kind === 'file' && xattrs?.has('trusted.overlay.metacopy') === true,
    ...(redirect === undefined ? {} : { redirect: text(redirect) }),
  };
}

function text(value: Uint8Array | undefined): string {
  return Buffer.from(value ?? new Uint8Array(0)).toString('latin1');
}
