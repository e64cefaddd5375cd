// A bundle as it stands in its store: read once, and later only what has come since.
import { type ChainEntry, readChain, type Store, type StoreEntry } from '../../../evidence/index.ts';

/** Where entries, their time stamps and their keys lie. */
const CUSTODY = 'custody';

/** A bundle as it stands in the store: a chain whose links were checked, and what is listed beside it. */
export interface Standing {
  readonly entries: readonly ChainEntry[];
  readonly listed: readonly StoreEntry[];
}

/** Of one that was read before only what has come since. Throws as `readChain`. */
export async function readStanding(store: Store, before?: Standing): Promise<Standing> {
  const known = before?.entries ?? [];
  const entries = await readChain(store, known);
  if (before === undefined || !entries.slice(known.length).every(isAccess))
    return { entries, listed: await Array.fromAsync(store.list()) };
  // an access adds to no other folder
  const rest = before.listed.filter(({ path }) => !path.startsWith(`${CUSTODY}/`));
  return { entries, listed: [...rest, ...(await Array.fromAsync(store.list(CUSTODY)))] };
}

function isAccess({ statement }: ChainEntry): boolean {
  return statement.predicate.action === 'access';
}
