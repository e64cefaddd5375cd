// Lists what groups of patterns mean on the context's host, giving the event loop its turn.
import type { NodeContext } from '../../context.ts';
import { readMounts } from '../../host/mounts.ts';
import type { Root } from '../../host/pin.ts';
import { paced } from '../../host/tree.ts';
import { type FileGroup, type Found, findListed } from './find.ts';
import { homeDirectories } from './homes.ts';

/** Names looked at for one pattern, for one in a home, and files listed in all: some 300 bytes of memory each. */
const MAX_ITEMS = 50_000;
const MAX_HOME_ITEMS = 2000;
const MAX_FOUND = 200_000;

/** The host's root as paths of lists are looked up below it. Throws where our own mountinfo cannot be read. */
export function hostRoot({ host }: Pick<NodeContext, 'host'>): Root {
  return { path: host.root, mounts: readMounts() };
}

/** What stands in homes comes last, so that no user can take the room of the system's own. */
export async function listAll(
  context: NodeContext,
  groups: readonly FileGroup[],
): Promise<{ readonly root: Root; readonly found: readonly Found[] }> {
  const root = hostRoot(context);
  const { gap, signal } = context;
  const homes = groups.some(({ paths }) => paths.some((path) => path.startsWith('~/')))
    ? homeDirectories(root, gap)
    : [];
  const found: Found[] = [];
  let left = 0;
  const options = {
    root,
    homes,
    gap,
    signal,
    items: MAX_ITEMS,
    homeItems: MAX_HOME_ITEMS,
    leaveOut: context.ownFolders,
  };
  for await (const item of paced(findListed(groups, options))) {
    if (item === undefined) continue;
    if (found.length < MAX_FOUND) found.push(item);
    else left++;
  }
  if (left > 0) gap({ reason: 'truncated', name: `${left} files left`, detail: `more than ${MAX_FOUND} files` });
  return { root, found: found.toSorted((a, b) => Number(a.inHome ?? false) - Number(b.inHome ?? false)) };
}
