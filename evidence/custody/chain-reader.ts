// Reads a custody chain from a store: entry by entry, bounded, each as far as it can be understood.
import { ImpoundError } from '../errors.ts';
import { sha256 } from '../format/digest.ts';
import { parseStatement, SEALED_ACTIONS, type Statement } from '../format/entry.ts';
import { type Envelope, MAX_ENTRY_BYTES, parseEnvelope } from '../format/envelope.ts';
import { entryPath, layoutOf } from '../format/layout.ts';
import { readWhole, type Store } from '../store/store.ts';
import { forEachBounded } from '../stream/pool.ts';

export interface ChainEntry {
  readonly sequence: number;
  readonly bytes: Buffer;
  /** SHA-256 of the stored bytes. */
  readonly sha256: string;
  readonly envelope: Envelope;
  readonly statement: Statement;
}

/** The numbers that entries in the store have, ascending. */
export async function listEntries(store: Store): Promise<readonly number[]> {
  const sequences: number[] = [];
  for await (const { path, kind } of store.list('custody')) {
    const layout = layoutOf(path);
    if (kind === 'file' && layout?.kind === 'entry') sequences.push(layout.sequence);
  }
  return sequences.sort((a, b) => a - b);
}

/** One entry; throws `object-missing`, `entry-too-large` or `entry-invalid`. */
export async function readEntry(store: Store, sequence: number): Promise<ChainEntry> {
  const path = entryPath(sequence);
  return parseEntry(sequence, await readWhole(store, path, MAX_ENTRY_BYTES));
}

/** How far a chain has come, by its newest entries alone: what follows the seal says nothing of it. Throws as readEntry. */
export async function chainEnd(store: Store, sequences: readonly number[]): Promise<'sealed' | 'closed' | 'unsealed'> {
  for (const sequence of sequences.toSorted((a, b) => b - a)) {
    const { action } = (await readEntry(store, sequence)).statement.predicate;
    if (action === 'seal') return 'sealed';
    if (action === 'close') return 'closed';
    if (SEALED_ACTIONS.has(action)) return 'unsealed';
  }
  return 'unsealed';
}

export function parseEntry(sequence: number, bytes: Buffer): ChainEntry {
  const path = entryPath(sequence);
  const envelope = parseEnvelope(bytes, path);
  return { sequence, bytes, sha256: sha256(bytes), envelope, statement: parseStatement(envelope.payload, path) };
}

/**
 * The whole chain, its links checked, its signatures not: for reading and for going on with it. Throws `not-a-bundle`
 * where there is none, and `chain-broken` where verify would report it. `known` is not read again.
 */
export async function readChain(store: Store, known: readonly ChainEntry[] = []): Promise<readonly ChainEntry[]> {
  const sequences = await listEntries(store);
  if (sequences.length === 0) {
    throw new ImpoundError('not-a-bundle', `${store.url} is not a bundle: it has no custody/000000.dsse.json`, {
      operation: 'read chain',
      thing: store.url,
    });
  }
  const had = new Map(known.map((entry) => [entry.sequence, entry]));
  const read = new Map<number, ChainEntry>();
  await forEachBounded(sequences, store.concurrency, async (sequence) => {
    read.set(sequence, had.get(sequence) ?? (await readEntry(store, sequence)));
  });
  const entries: ChainEntry[] = [];
  for (const [sequence, entry] of [...read].sort(([a], [b]) => a - b)) {
    const previous = entries.at(-1);
    const { predicate } = entry.statement;
    const linked =
      sequence === entries.length &&
      predicate.sequence === sequence &&
      predicate.previous === (previous?.sha256 ?? null);
    if (!linked) {
      throw new ImpoundError('chain-broken', `${entryPath(sequence)} does not follow the entry before it; run verify`, {
        operation: 'read chain',
        thing: entryPath(sequence),
      });
    }
    entries.push(entry);
  }
  return entries;
}
