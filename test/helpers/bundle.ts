// A real bundle in a folder: the engine, the local custodian and a signing key, on small collectors of the test's own.
import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { type Artefact, type Collector, gap, runCapture } from '../../capture/index.ts';
import { signerOf } from '../../evidence/custody/key.ts';
import {
  beginBundle,
  beginSession,
  bundleId,
  bundlePrefix,
  type ChainHead,
  type ChainWriter,
  type Custody,
  DirectoryStore,
  endBundle,
  LocalCustodian,
  type Logger,
  type Signer,
  systemClock,
  tarArchive,
} from '../../evidence/index.ts';

export const silentLog: Logger = { debug() {}, info() {}, warn() {}, error() {} };

export function newSigner() {
  return signerOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
}

export function artefact(path: string, ...chunks: (string | Uint8Array)[]): Artefact {
  async function* content(): AsyncGenerator<Uint8Array> {
    for (const chunk of chunks) yield Buffer.from(chunk);
  }
  return { kind: 'artefact', path, source: 'a test', content: content() };
}

export function collector(name: string, collect: Collector['collect'], more: Partial<Collector> = {}): Collector {
  return {
    name,
    description: name,
    phase: 'volatile',
    volatility: 1,
    artefacts: [],
    needs: [],
    limits: { bytes: 64 * 1024 * 1024, seconds: 10 },
    collect,
    ...more,
  };
}

/** A table, an archive, a compressed text and two gaps: one artefact of every kind. */
export const sampleCollectors: readonly Collector[] = [
  collector('table', async function* () {
    yield artefact('10-process/processes.jsonl', '{"process":{"pid":1}}\n', '{"process":{"pid":2}}\n');
    yield gap('vanished', 'pid 17', 'ended while it was read');
    yield gap('vanished', 'pid 18', 'ended while it was read');
  }),
  collector('archive', async function* () {
    const members = ['1/cmdline', '1/environ', '2/cmdline'].map((name) => ({
      name,
      content: Buffer.from(name.repeat(50)),
    }));
    yield { kind: 'artefact', path: '10-process/proc.tar.zst', source: 'a test', content: tarArchive(members) };
  }),
  collector('text', async function* () {
    yield artefact('50-kernel/dmesg.txt.zst', 'one\n', 'two\n');
    yield artefact('50-kernel/empty.txt');
  }),
];

export interface MadeBundle {
  readonly path: string;
  readonly storeRoot: string;
  readonly store: DirectoryStore;
  readonly custody: Custody;
  readonly head: ChainHead;
}

export function openStore(storeRoot: string, prefix: string): DirectoryStore {
  return new DirectoryStore({
    root: join(storeRoot, prefix),
    partial: join(storeRoot, '.partial', prefix.split('/').at(-1) ?? ''),
  });
}

export interface MakeOptions {
  readonly seal?: boolean;
  readonly signal?: AbortSignal;
  readonly signer?: Signer;
  readonly open?: (storeRoot: string, prefix: string) => DirectoryStore;
}

export interface BegunBundle {
  readonly path: string;
  readonly store: DirectoryStore;
  readonly custody: Custody;
  readonly chain: ChainWriter;
}

/** Custody of the bundle in `store`, by a person "tester". */
export function custodyOf(store: Custody['store'], signer: Signer): Custody {
  return { store, signer, actor: { kind: 'person', name: 'tester' }, clock: systemClock, software: 'Impound test' };
}

/** A bundle below `storeRoot` with its grant and nothing else. */
export async function beginEmpty(
  storeRoot: string,
  { signer = newSigner(), open = openStore }: Pick<MakeOptions, 'signer' | 'open'> = {},
): Promise<BegunBundle> {
  const bundle = bundleId(new Date());
  const prefix = bundlePrefix(undefined, undefined, bundle);
  const store = open(storeRoot, prefix);
  await store.prepare();
  const custody = custodyOf(store, signer);
  const chain = await beginBundle(custody, {
    bundle,
    requestedBy: 'tester',
    requestedAt: new Date().toISOString(),
    reason: null,
    case: null,
    node: 'here',
    profile: 'quick',
  });
  return { path: join(storeRoot, prefix), store, custody, chain };
}

/** Captures with `collectors` into a new bundle below `storeRoot`, sealed unless told otherwise. */
export async function makeBundle(
  storeRoot: string,
  collectors: readonly Collector[] = sampleCollectors,
  { seal = true, signal = new AbortController().signal, signer = newSigner(), open = openStore }: MakeOptions = {},
): Promise<MadeBundle> {
  const { path, store, custody, chain } = await beginEmpty(storeRoot, { signer, open });
  await beginSession(chain, {
    session: 1,
    software: custody.software,
    profile: 'quick',
    collectors: collectors.map(({ name }) => name),
    suspects: [],
  });
  const custodian = new LocalCustodian({ store, chain, clock: systemClock });
  const results = await runCapture({
    collectors,
    skipped: [],
    context: (base) => base,
    custodian,
    session: 1,
    signal,
    log: silentLog,
    clock: systemClock,
    observe: () => undefined,
  });
  await custodian.flush();
  const made = { path, storeRoot, store, custody };
  if (!seal) return { ...made, head: chain.head };
  const head = await endBundle(custody, chain, {
    outcome: signal.aborted ? 'aborted' : 'complete',
    gaps: results.flatMap((result) => result.gaps),
    footprint: [],
  });
  await store.finish();
  return { ...made, head };
}
