// A bundle's life: begun with a grant, closed and sealed, or sealed later after a crash.
import { setTimeout as sleep } from 'node:timers/promises';
import { ImpoundError } from '../errors.ts';
import { coverage, gapGroups, records, unfinishedGaps } from '../format/coverage.ts';
import { sha256 } from '../format/digest.ts';
import type { CloseDetails, SessionDetails, Subject } from '../format/entry.ts';
import { jsonLine } from '../format/json.ts';
import { COVERAGE, FOOTPRINT, GAPS, keyPath, layoutOf, MANIFEST, REQUEST, TAG_MANIFEST } from '../format/layout.ts';
import { payloadDigests, tagFiles } from '../format/manifest.ts';
import type { ArtefactRecord, GapGroup, StoredObject } from '../format/record.ts';
import type { Actor, Clock, Signer } from '../ports.ts';
import type { Store, UnfinishedObject } from '../store/store.ts';
import { digestOf } from '../stream/hash.ts';
import { readChain } from './chain-reader.ts';
import { type ChainHead, ChainWriter, TAKEN_OVER } from './chain-writer.ts';
import { assertAbandoned, ownHolder } from './holder.ts';

export interface Custody {
  readonly store: Store;
  readonly signer: Signer;
  readonly actor: Actor;
  readonly clock: Clock;
  /** Name and version of the program, for bag-info and the session entry. */
  readonly software: string;
}

/** A capture appends each second what it stores, and then needs a moment to end. */
const TAKE_OVER_MILLISECONDS = 5000;

/** Why a bundle exists. Stored as data/00-meta/request.json and named by entry 0. */
export interface CaptureRequest {
  readonly bundle: string;
  readonly requestedBy: string;
  readonly requestedAt: string;
  readonly reason: string | null;
  readonly case: string | null;
  readonly node: string;
  readonly profile: string;
  readonly [more: string]: unknown;
}

/**
 * Stores the request, publishes the signer's key and writes entry 0. Done again with the same request after a crash in
 * the middle, by whichever process, it goes on where that ended.
 */
export async function beginBundle(custody: Custody, request: CaptureRequest): Promise<ChainWriter> {
  const { store, signer } = custody;
  const bytes = Buffer.from(`${JSON.stringify(request, null, 2)}\n`);
  const chain = new ChainWriter({ ...custody, bundle: request.bundle, entries: [] });
  await Promise.all([
    putSame(store, keyPath(signer.keyid), Buffer.from(signer.publicKeyPem)),
    putSame(store, REQUEST, bytes),
  ]);
  const holder = await ownHolder();
  const details = {
    encryption: request.encryption ?? 'none',
    signer: signer.kind,
    keyid: signer.keyid,
    sizes: { [REQUEST]: bytes.length },
    ...(holder === undefined ? {} : { holder }),
  };
  await chain.append('grant', details, {
    subjects: [{ name: REQUEST, digest: { sha256: sha256(bytes) } }],
    nonce: request.bundle.replaceAll('-', ''),
  });
  return chain;
}

export async function beginSession(chain: ChainWriter, details: SessionDetails): Promise<void> {
  await chain.append('session', details);
}

export interface Ending {
  readonly outcome: CloseDetails['outcome'];
  /** Gap groups with more names than the chain holds; the chain's own where a crash lost them. */
  readonly gaps?: readonly GapGroup[];
  /** What the capture did to the host. */
  readonly footprint?: readonly object[];
  /** The store failed meanwhile: what it holds half-written or unnamed is recorded first. */
  readonly recover?: true;
}

/**
 * Writes coverage, gaps and footprint, closes the chain and seals it. Returns the seal entry's head. What an earlier call
 * did before a crash is not done again; `recover` is then to be given.
 */
export async function endBundle(custody: Custody, chain: ChainWriter, ending: Ending): Promise<ChainHead> {
  const actions = chain.statements.map(({ predicate }) => predicate.action);
  if (actions.includes('seal')) return chain.head;
  if (actions.includes('close')) return sealClosed(custody, chain);
  if (ending.recover) await recoverObjects(custody, chain);
  await writeSummaries(custody, chain, ending);
  const details: CloseDetails = { outcome: ending.outcome, software: custody.software };
  await chain.append('close', details);
  return sealClosed(custody, chain);
}

async function writeSummaries(custody: Custody, chain: ChainWriter, ending: Ending): Promise<void> {
  const { statements } = chain;
  const gaps = ending.gaps ?? [...gapGroups(statements), ...unfinishedGaps(statements)];
  const present = new Set(records(statements).map((record) => record.path));
  const files: [string, Buffer][] = [
    [GAPS, Buffer.concat(gaps.map(jsonLine))],
    [COVERAGE, Buffer.from(`${JSON.stringify(coverage(statements), null, 2)}\n`)],
  ];
  if (ending.footprint !== undefined) {
    files.push([FOOTPRINT, Buffer.from(`${JSON.stringify(ending.footprint, null, 2)}\n`)]);
  }
  const stored: ArtefactRecord[] = [];
  for (const [path, bytes] of files) {
    if (present.has(path)) continue;
    stored.push(recordOf(custody, path, await custody.store.put(path, bytes), 'the custody chain'));
  }
  await appendRecords(chain, stored);
}

/** Writes the tag files, byte for byte the same whoever does it, and the seal over them. */
async function sealClosed(custody: Custody, chain: ChainWriter): Promise<ChainHead> {
  const entries = await readChain(custody.store);
  const files = tagFiles(entries, new Map([[custody.signer.keyid, custody.signer.publicKeyPem]]));
  for (const [path, bytes] of files) await putSame(custody.store, path, bytes);
  const subjects: Subject[] = [MANIFEST, TAG_MANIFEST].map((path) => ({
    name: path,
    digest: { sha256: sha256(files.get(path) ?? Buffer.alloc(0)) },
  }));
  return chain.append('seal', { payloadFiles: payloadDigests(chain.statements).length }, { subjects });
}

/** A crash may have left the same bytes there; other bytes are somebody else's. */
async function putSame(store: Store, path: string, bytes: Buffer): Promise<void> {
  try {
    await store.put(path, bytes, 'believed');
  } catch (error) {
    if (!(error instanceof ImpoundError && error.code === 'object-exists')) throw error;
    const stored = await digestOf(store.read(path));
    if (stored.sha256 !== sha256(bytes)) throw error;
  }
}

/**
 * Seals a bundle that a crash left open: half-written objects are kept as truncated, objects that no entry names are
 * read back and recorded, then it is closed and sealed. Throws `bundle-sealed`, `bundle-busy` (but where `abandoned` says
 * that its capture has ended), `chain-broken`, `key-unsuitable`.
 */
export async function recoverBundle(custody: Custody, abandoned = false): Promise<ChainHead> {
  const entries = await readChain(custody.store);
  const actions = entries.map((entry) => entry.statement.predicate.action);
  const bundle = entries[0]?.statement.predicate.bundle ?? '';
  if (actions.includes('seal')) {
    throw new ImpoundError('bundle-sealed', 'the bundle is sealed already; nothing was changed', {
      operation: 'seal',
      thing: bundle,
    });
  }
  const keyid = entries[0]?.envelope.keyid ?? '';
  if (custody.signer.keyid !== keyid) {
    throw new ImpoundError(
      'key-unsuitable',
      `the bundle was begun with key ${keyid}, this is key ${custody.signer.keyid}: give the same one as --key`,
      { operation: 'seal', thing: bundle },
    );
  }
  const certainty = await assertAbandoned(entries, custody.clock, abandoned);
  const chain = new ChainWriter({ ...custody, bundle, entries });
  if (certainty === 'said') await takeOver(chain);
  if (actions.includes('close')) return sealClosed(custody, chain);
  return endBundle(custody, chain, { outcome: 'recovered', recover: true });
}

/**
 * Somebody says that the capture has ended, and it may be wrong: one that goes on meets this entry with the next one that it
 * appends, and ends. What it had stored by then is waited for, so that it is recovered with the rest.
 */
async function takeOver(chain: ChainWriter): Promise<void> {
  await chain.append('note', { reason: TAKEN_OVER });
  await sleep(TAKE_OVER_MILLISECONDS);
}

/** Half-written objects are published, what no entry names is read back, and both are recorded. */
async function recoverObjects(custody: Custody, chain: ChainWriter): Promise<void> {
  const { store } = custody;
  const known = new Set(payloadDigests(chain.statements).map(({ path }) => path));
  const isUnnamed = (path: string): boolean => layoutOf(path)?.kind === 'payload' && !known.has(path);
  const half = new Map<string, UnfinishedObject>();
  const published = new Map<string, object>();
  for await (const object of store.unfinished()) if (isUnnamed(object.path)) half.set(object.path, object);
  for (const { path, publish } of half.values())
    if ((await store.size(path)) === undefined) published.set(path, await publish());
  const unnamed: string[] = [];
  for await (const { path, kind } of store.list('data')) if (kind === 'file' && isUnnamed(path)) unnamed.push(path);
  const recovered: ArtefactRecord[] = [];
  for (const path of unnamed.sort()) {
    const source = half.has(path) ? 'left half-written by a crash' : 'stored before a crash, read back';
    const stored = { ...(await digestOf(store.read(path))), ...published.get(path) };
    const record = { ...recordOf(custody, path, stored, source), recovered: true } as const;
    recovered.push(half.has(path) ? { ...record, truncated: 'the capture ended while this was written' } : record);
  }
  await appendRecords(chain, recovered);
  for (const { release } of half.values()) await release();
}

/** Keeps an entry far below its largest size. */
const RECORDS_AT_ONCE = 500;

async function appendRecords(chain: ChainWriter, artefacts: readonly ArtefactRecord[]): Promise<void> {
  for (let start = 0; start < artefacts.length; start += RECORDS_AT_ONCE) {
    const batch = artefacts.slice(start, start + RECORDS_AT_ONCE);
    const subjects = batch.map(({ path, sha256: digest }) => ({ name: path, digest: { sha256: digest } }));
    await chain.append('collect', { artefacts: batch }, { subjects });
  }
}

function recordOf(custody: Custody, path: string, stored: StoredObject, source: string): ArtefactRecord {
  const now = custody.clock.now().toISOString();
  return { path, ...stored, collector: 'impound', session: 1, source, begun: now, ended: now };
}
