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

/** `userxattr` as the overlay is mounted: then its marks are user attributes, which else whoever is in the container sets. */
export function marksOf(item: TreeItem, xattrs: Xattrs | undefined, userxattr: boolean): Marks {
  const mark = (name: string): Uint8Array | undefined =>
    xattrs?.get(`${userxattr ? 'user' : 'trusted'}.overlay.${name}`);
  // overlays with `userxattr` have neither of these two
  const redirect = xattrs?.get('trusted.overlay.redirect');
  const device = item.kind === 'character-device' && item.stats.rdev === 0n;
  return {
    whiteout: device || (item.kind === 'file' && item.stats.size === 0n && mark('whiteout') !== undefined),
    opaque: item.kind === 'directory' && text(mark('opaque')) === 'y',
    metacopy: item.kind === 'file' && xattrs?.has('trusted.overlay.metacopy') === true,
    ...(redirect === undefined ? {} : { redirect: text(redirect) }),
  };
}

/** What a lower folder's marks do to the layers below it: nothing of them shows, or what does has another name there. */
export function hidesOf(xattrs: Xattrs | undefined, userxattr: boolean): 'opaque' | 'renamed' | undefined {
  if (text(xattrs?.get(`${userxattr ? 'user' : 'trusted'}.overlay.opaque`)) === 'y') return 'opaque';
  return xattrs?.has('trusted.overlay.redirect') === true ? 'renamed' : undefined;
}

function text(value: Uint8Array | undefined): string {
  return Buffer.from(value ?? new Uint8Array(0)).toString('latin1');
}
