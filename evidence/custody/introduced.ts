// Whose entries a chain takes: before its seal, only those by keys that it introduced itself.
import type { ChainEntry } from './chain-reader.ts';

/** False where an entry by this key would break the chain; after the seal anybody's is only reported. */
export function takesEntriesBy(entries: readonly ChainEntry[], keyid: string): boolean {
  if (entries[0]?.envelope.keyid === keyid) return true;
  return entries.some(({ statement: { predicate } }) => {
    const { action, details } = predicate;
    return action === 'seal' || (action === 'transfer' && details.keyid === keyid);
  });
}
