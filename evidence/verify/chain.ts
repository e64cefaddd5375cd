// Question two: is the custody chain whole, in order, and signed by whom it should be?

import { type ChainEntry, parseEntry } from '../custody/chain-reader.ts';
import type { ChainHead } from '../custody/chain-writer.ts';
import type { TrustedKey } from '../custody/key.ts';
import { keyidOf, parsePublicKey, publicPem, signatureMatches } from '../custody/key.ts';
import { describeError, ImpoundError } from '../errors.ts';
import { ACTIONS, artefactRecords, SEALED_ACTIONS } from '../format/entry.ts';
import { MAX_ENTRY_BYTES, signedBytes } from '../format/envelope.ts';
import { entryPath, keyPath, layoutOf } from '../format/layout.ts';
import { readWhole, type Store } from '../store/store.ts';
import type { Findings } from './report.ts';

const MAX_KEY_BYTES = 4096;

export interface ChainOptions {
  /** Keys known to be the signers'; without any, the bundle's own are taken. */
  readonly trusted: readonly TrustedKey[];
  /** An entry that must be on the chain. */
  readonly head: ChainHead | undefined;
}

export interface CheckedChain {
  /** Entries that are genuine and in their place, ascending. */
  readonly genuine: readonly ChainEntry[];
  /**
   * The same, and those in their place whose signature is not: each of these is a finding already, and what it names
   * is still the best that is known of the files, so that one altered entry does not hide what else was altered.
   */
  readonly entries: readonly ChainEntry[];
  /** PEM of the bundle's own keys by keyid. */
  readonly keys: ReadonlyMap<string, string>;
  readonly sealed: boolean;
}

export async function checkChain(
  store: Store,
  files: ReadonlyMap<string, number>,
  options: ChainOptions,
  report: Findings,
): Promise<CheckedChain> {
  const keys = await readKeys(store, files, report);
  const read = await readEntries(store, files, report);
  const genuine: ChainEntry[] = [];
  const entries: ChainEntry[] = [];
  const introduced = new Set<string>();
  let sealed = false;
  for (const [sequence, entry] of read) {
    const path = entryPath(sequence);
    checkLink(sequence, entry, read, report);
    if (entry === undefined) continue;
    const { predicate } = entry.statement;
    if (predicate.sequence !== sequence) {
      report.add('entry-misplaced', path, 'the entry was signed for another place in the chain', {
        expected: String(sequence),
        found: String(predicate.sequence),
      });
      continue;
    }
    if (introduced.size === 0) introduced.add(entry.envelope.keyid);
    if (!hasReadableRecords(entry, report)) continue;
    const signed = checkSignature(entry, { keys, introduced, sealed, trusted: options.trusted }, report);
    if (signed === 'foreign') continue;
    checkOrder(entry, entries, sealed, report);
    entries.push(entry);
    if (predicate.action === 'seal') sealed = true;
    if (signed === 'invalid') continue;
    genuine.push(entry);
    if (predicate.action === 'transfer' && typeof predicate.details.keyid === 'string')
      introduced.add(predicate.details.keyid);
  }
  checkHead(options.head, genuine, report);
  checkKeysUsed(keys, read, report);
  return { genuine, entries, keys, sealed };
}

/** Entries by number with holes as undefined; a chain is checked as far as its highest number. */
async function readEntries(
  store: Store,
  files: ReadonlyMap<string, number>,
  report: Findings,
): Promise<ReadonlyMap<number, ChainEntry | undefined>> {
  const sequences = [...files.keys()]
    .map(layoutOf)
    .flatMap((layout) => (layout?.kind === 'entry' ? [layout.sequence] : []))
    .sort((a, b) => a - b);
  const read = new Map<number, ChainEntry | undefined>();
  let expected = 0;
  for (const sequence of sequences) {
    if (sequence > expected) reportHole(expected, sequence - 1, report);
    expected = sequence + 1;
    const path = entryPath(sequence);
    try {
      read.set(sequence, parseEntry(sequence, await readWhole(store, path, MAX_ENTRY_BYTES)));
    } catch (error) {
      read.set(sequence, undefined);
      reportUnreadable(error, path, report);
    }
  }
  return read;
}

function reportHole(first: number, last: number, report: Findings): void {
  const message = first === last ? 'the entry is missing' : `the entries up to ${entryPath(last)} are missing`;
  report.add('entry-missing', entryPath(first), message);
}

function reportUnreadable(error: unknown, path: string, report: Findings): void {
  const code = error instanceof ImpoundError ? error.code : 'internal';
  const altered = code === 'entry-invalid' || code === 'entry-too-large' || code === 'content-too-large';
  if (altered) report.add('entry-altered', path, describeError(error));
  else report.skip(path, describeError(error));
}

function checkLink(
  sequence: number,
  entry: ChainEntry | undefined,
  read: ReadonlyMap<number, ChainEntry | undefined>,
  report: Findings,
): void {
  if (entry === undefined) return;
  const before = read.get(sequence - 1);
  const { previous } = entry.statement.predicate;
  if (sequence === 0 ? previous === null : before === undefined || previous === before.sha256) return;
  report.add('entry-unlinked', entryPath(sequence), 'the entry before it is not the one it was written after', {
    expected: previous ?? 'none',
    found: before?.sha256 ?? 'none',
  });
}

interface Keys {
  readonly keys: ReadonlyMap<string, string>;
  readonly trusted: readonly TrustedKey[];
  readonly introduced: ReadonlySet<string>;
  readonly sealed: boolean;
}

function hasReadableRecords({ statement, sequence }: ChainEntry, report: Findings): boolean {
  if (statement.predicate.action !== 'collect') return true;
  try {
    artefactRecords(statement.predicate.details, entryPath(sequence));
    return true;
  } catch (error) {
    report.add('entry-altered', entryPath(sequence), describeError(error));
    return false;
  }
}

/** `foreign`: by a key that the chain did not introduce, after the seal, where it can do no harm. */
function checkSignature(entry: ChainEntry, keys: Keys, report: Findings): 'genuine' | 'invalid' | 'foreign' {
  const { keyid, payload, signature } = entry.envelope;
  const path = entryPath(entry.sequence);
  const introduced = keys.introduced.has(keyid);
  const trusted = keys.trusted.find((key) => key.keyid === keyid);
  if (!introduced && keys.sealed) {
    report.warn('signer-after-seal', path, `written after the seal by key ${keyid}, which the chain did not introduce`);
    return 'foreign';
  }
  if (!introduced || (entry.sequence === 0 && keys.trusted.length > 0 && trusted === undefined)) {
    report.add('signer-unknown', path, 'signed by a key that is not trusted for this chain', {
      expected: keys.trusted.map((key) => key.keyid).join(' ') || [...keys.introduced].join(' '),
      found: keyid,
    });
    return 'invalid';
  }
  const pem = keys.keys.get(keyid);
  const key = trusted?.key ?? (pem === undefined ? undefined : parsePublicKey(pem, keyPath(keyid)).key);
  if (key === undefined) {
    if (!keys.keys.has(keyid)) report.add('key-missing', keyPath(keyid), 'the public key of the signer is missing');
    report.add('signer-unknown', path, 'its signature cannot be checked without the public key', { found: keyid });
    return 'invalid';
  }
  if (signatureMatches(key, signedBytes(payload), signature)) return 'genuine';
  report.add('signature-invalid', path, 'the signature is not over these bytes');
  return 'invalid';
}

function checkOrder(entry: ChainEntry, before: readonly ChainEntry[], sealed: boolean, report: Findings): void {
  const path = entryPath(entry.sequence);
  const { predicate } = entry.statement;
  const last = before.at(-1)?.statement.predicate;
  const first = before[0]?.statement.predicate;
  if ((predicate.action === 'grant') !== (entry.sequence === 0)) {
    report.add('entry-out-of-order', path, 'a chain begins with its grant and has no other');
  }
  if (sealed && SEALED_ACTIONS.has(predicate.action)) {
    report.add('entry-out-of-order', path, `"${predicate.action}" may not follow the seal`);
  }
  const closed = before.some(({ statement }) => statement.predicate.action === 'close');
  if (closed && !sealed && SEALED_ACTIONS.has(predicate.action) && predicate.action !== 'seal') {
    report.add('entry-out-of-order', path, `"${predicate.action}" may not follow the close`);
  }
  if (first !== undefined && predicate.bundle !== first.bundle) {
    report.add('entry-misplaced', path, 'the entry is of another bundle', {
      expected: first.bundle,
      found: predicate.bundle,
    });
  }
  if (last !== undefined && predicate.time < last.time) {
    report.warn('clock', path, `its time ${predicate.time} is before the previous entry's ${last.time}`);
  }
  if (!ACTIONS.some((action) => action === predicate.action)) {
    report.warn('action-unknown', path, `this version does not know the action "${predicate.action}"`);
  }
}

function checkHead(head: ChainHead | undefined, entries: readonly ChainEntry[], report: Findings): void {
  if (head === undefined) return;
  const there = entries.find((entry) => entry.sequence === head.sequence);
  if (there?.sha256 === head.sha256) return;
  report.add(
    'head-missing',
    entryPath(head.sequence),
    'the entry given as --head is not on this chain: its tail was cut off or rewritten',
    {
      expected: head.sha256,
      found: there?.sha256 ?? 'nothing',
    },
  );
}

async function readKeys(
  store: Store,
  files: ReadonlyMap<string, number>,
  report: Findings,
): Promise<ReadonlyMap<string, string>> {
  const keys = new Map<string, string>();
  for (const path of files.keys()) {
    const layout = layoutOf(path);
    if (layout?.kind !== 'key') continue;
    try {
      const pem = (await readWhole(store, path, MAX_KEY_BYTES)).toString('latin1');
      const { key } = parsePublicKey(pem, path);
      if (keyidOf(key) === layout.keyid && publicPem(key) === pem) keys.set(layout.keyid, pem);
      else report.add('key-altered', path, 'the file is not the key it is named for');
    } catch (error) {
      report.add('key-altered', path, describeError(error));
    }
  }
  return keys;
}

function checkKeysUsed(
  keys: ReadonlyMap<string, string>,
  read: ReadonlyMap<number, ChainEntry | undefined>,
  report: Findings,
): void {
  const used = new Set([...read.values()].map((entry) => entry?.envelope.keyid));
  for (const keyid of keys.keys()) {
    if (!used.has(keyid)) report.add('key-added', keyPath(keyid), 'no entry is signed by this key');
  }
}
