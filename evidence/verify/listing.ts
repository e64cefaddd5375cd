// Question one: is everything in the store of the layout, and a plain file?
import { layoutOf } from '../format/layout.ts';
import type { Store } from '../store/store.ts';
import type { Findings } from './report.ts';

/** Plain files of the layout by path, with their size in bytes: nothing else is ever opened. */
export async function checkListing(store: Store, report: Findings): Promise<ReadonlyMap<string, number>> {
  const files = new Map<string, number>();
  for await (const { path, kind, size, later } of store.list()) {
    if (kind !== 'file') {
      report.add('not-a-file', path, kind === 'link' ? 'a link stands in the bundle' : 'neither a file nor a folder');
    } else if (layoutOf(path) === undefined) {
      report.add('outside-layout', path, 'no object of the layout has this name');
    } else {
      files.set(path, size);
      if (later !== undefined)
        report.warn('overwritten', path, `${later} later versions or marks stand over it; the first version was read`);
    }
  }
  return files;
}
