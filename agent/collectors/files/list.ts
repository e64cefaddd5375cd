// Lists what groups of patterns mean on the context's host, giving the event loop its turn.
import type { NodeContext } from '../../context.ts';
import { readMounts } from '../../host/mounts.ts';
import type { Root } from '../../host/pin.ts';
import { paced } from '../../host/tree.ts';
import { type FileGroup, type Found, findListed } from './find.ts';
import { type Home, homeDirectories } from './homes.ts';

/** Names looked at for one pattern, for one in a home. */
const MAX_ITEMS = 50_000;
const MAX_HOME_ITEMS = 2000;
/** Files listed outside of homes, in one home, and in all of them: some 300 bytes of memory each. */
const MAX_FOUND = 200_000;
const MAX_HOME_FOUND = 5000;
const MAX_HOMES_FOUND = 200_000;

/** The host's root as paths of lists are looked up below it. Throws where our own mountinfo cannot be read. */
export function hostRoot({ host }: Pick<NodeContext, 'host'>): Root {
  return { path: host.root, mounts: readMounts() };
}

/** What stands in homes comes last and is counted by itself, so that no user can take the room of the system's own. */
export async function listAll(
  context: NodeContext,
  groups: readonly FileGroup[],
): Promise<{ readonly root: Root; readonly found: readonly Found[] }> {
  const root = hostRoot(context);
  const { gap, signal } = context;
  const homes = groups.some(({ paths }) => paths.some((path) => path.startsWith('~/')))
    ? homeDirectories(root, gap)
    : [];
  const found = new Map<string, Found>();
  const counts = new Map<Home | undefined, number>();
  let inHomes = 0;
  let left = 0;
  let leftInHomes = 0;
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
    const key = item.path.toString('latin1');
    const { home } = item;
    const count = counts.get(home) ?? 0;
    if (home === undefined ? count >= MAX_FOUND : count >= MAX_HOME_FOUND || inHomes >= MAX_HOMES_FOUND) {
      if (home === undefined) left++;
      else leftInHomes++;
      continue;
    }
    counts.set(home, count + 1);
    if (home !== undefined) inHomes++;
    found.delete(key); // found again, in its own home: it stands with what else is there
    found.set(key, item);
  }
  if (left > 0) gap({ reason: 'truncated', name: `${left} files left`, detail: `more than ${MAX_FOUND} files` });
  const detail = `more than ${MAX_HOME_FOUND} files in a home, or ${MAX_HOMES_FOUND} in all of them`;
  if (leftInHomes > 0) gap({ reason: 'truncated', name: `${leftInHomes} files in homes left`, detail });
  return { root, found: [...found.values()] };
}
