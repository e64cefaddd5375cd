// Fetches a bundle: the access on its chain first, then every file verified as it comes, what is whole kept.
import { join, resolve } from 'node:path';
import {
  type ChainEntry,
  type ChainHead,
  ChainWriter,
  describeError,
  forEachBounded,
  ImpoundError,
  readChain,
  type Store,
  systemClock,
} from '../../evidence/index.ts';
import { actorFor } from '../actor.ts';
import { openBundle } from '../bundle.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { PullArguments } from '../commands/pull.ts';
import { signingKey } from '../key.ts';
import { byteProgress } from '../terminal/byte-progress.ts';
import { escapeText, formatBytes, formatSeconds, styled } from '../terminal/text.ts';
import { fetchFile } from './pull/fetch.ts';
import { PullFolder } from './pull/folder.ts';
import { type Plain, plainFiles } from './pull/plain.ts';
import { type PullPlan, planPull, type WantedFile } from './pull/plan.ts';

/** One thing that is not as the chain says, or could not be had. */
export interface Trouble {
  readonly path: string;
  /** `failed`: it may be had another time. */
  readonly kind: 'altered' | 'missing' | 'occupied' | 'failed';
  readonly message: string;
}

interface Pulled {
  readonly path: string;
  readonly fetched: number;
  readonly kept: number;
  readonly left: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly foreign: readonly string[];
  readonly troubles: readonly Trouble[];
  readonly plain?: Plain;
}

export async function runPull(argv: PullArguments, environment: Environment): Promise<ExitCode> {
  const { store, path } = await openBundle(argv.bundle, argv);
  const before = await readChain(store);
  const bundle = before[0]?.statement.predicate.bundle ?? '';
  const folder = new PullFolder(resolve(argv.dir), bundle);
  const identities = argv.identity === undefined ? undefined : await identitiesIn(argv.identity);
  // what would be refused for its words is refused before it is recorded as done
  await planPull(store, before, argv.only);
  await folder.prepare();
  const access = argv.unrecorded ? undefined : await recordAccess(store, before, argv, environment);
  const entries = access === undefined ? before : await readChain(store);
  const plan = await planPull(store, entries, argv.only);
  const pulled = await fetchAll(store, folder, plan, environment);
  const plain =
    identities === undefined
      ? undefined
      : await plainFiles(folder, new PullFolder(resolve(argv.dir), `${bundle}-plain`), plan, identities);
  const result = { ...pulled, ...(plain === undefined ? {} : { plain }) };
  if (environment.json) environment.stdout.write(`${JSON.stringify({ bundle, from: path, access, ...result })}\n`);
  else print(result, { plan, access, only: argv.only.length > 0 }, environment);
  const troubles = [...result.troubles, ...(plain?.troubles ?? [])];
  if (troubles.some(({ kind }) => kind !== 'failed')) return 1;
  return troubles.length > 0 ? 2 : 0;
}

async function identitiesIn(file: string) {
  const { readIdentities } = await import('../../evidence/index.ts');
  return readIdentities(file);
}

/** Throws where the chain cannot be written: then nothing is read either. */
async function recordAccess(
  store: Store,
  entries: readonly ChainEntry[],
  { key, reason, only }: PullArguments,
  environment: Environment,
): Promise<ChainHead> {
  const { signer } = await signingKey(key, environment);
  const bundle = entries[0]?.statement.predicate.bundle ?? '';
  const actor = await actorFor(store);
  const chain = new ChainWriter({ store, bundle, signer, actor, clock: systemClock, entries });
  try {
    return await chain.append('access', { reason, ...(only.length === 0 ? {} : { only }), keyid: signer.keyid });
  } catch (error) {
    if (!(error instanceof ImpoundError && error.code === 'store-denied')) throw error;
    throw new ImpoundError(
      'store-denied',
      `the access cannot be written to the custody chain, so nothing was read: ${error.message}; or say --unrecorded`,
      { operation: 'pull', thing: store.url, cause: error },
    );
  }
}

async function fetchAll(store: Store, folder: PullFolder, plan: PullPlan, environment: Environment): Promise<Pulled> {
  const begun = performance.now();
  const total = plan.files.reduce((sum, { size }) => sum + size, 0);
  const troubles: Trouble[] = plan.missing.map((path) => ({
    path,
    kind: 'missing',
    message: 'the chain names this file and the store has not got it',
  }));
  const counts = { fetched: 0, kept: 0 };
  const progress = byteProgress('pulling', environment);
  try {
    await forEachBounded(plan.files, store.concurrency, async (file) => {
      const trouble = await fetchOne(store, folder, file, counts, (bytes) => progress.advance(bytes, total));
      if (trouble !== undefined) troubles.push(trouble);
    });
  } finally {
    progress.end();
  }
  await folder.finish();
  const seconds = (performance.now() - begun) / 1000;
  const { left, foreign } = plan;
  return { path: folder.path, ...counts, left, bytes: total, seconds, foreign, troubles };
}

async function fetchOne(
  store: Store,
  folder: PullFolder,
  file: WantedFile,
  counts: { fetched: number; kept: number },
  progress: (bytes: number) => void,
): Promise<Trouble | undefined> {
  const { path } = file;
  try {
    const fetched = await fetchFile(store, folder, file, progress);
    switch (fetched.kind) {
      case 'altered': {
        const message = `its bytes are not those of the chain: expected ${fetched.expected}, found ${fetched.found}`;
        return { path, kind: 'altered', message };
      }
      case 'occupied':
        return { path, kind: 'occupied', message: `another file stands at ${join(folder.path, path)}, and was left` };
      default:
        counts[fetched.kind]++;
        return undefined;
    }
  } catch (error) {
    // a disk that is full fails for all that follows
    if (error instanceof ImpoundError && error.code === 'store-full') throw error;
    return { path, kind: 'failed', message: describeError(error) };
  }
}

function print(
  pulled: Pulled,
  { plan, access, only }: { readonly plan: PullPlan; readonly access: ChainHead | undefined; readonly only: boolean },
  { stdout, program }: Environment,
): void {
  const write = (text: string): void => void stdout.write(`${text}\n`);
  const troubles = [...pulled.troubles, ...(pulled.plain?.troubles ?? [])];
  for (const { path, message } of troubles)
    write(`${styled('red', '✘', stdout)} ${escapeText(path)}: ${escapeText(message)}`);
  const rate = pulled.seconds > 0 ? `, ${formatBytes(pulled.bytes / pulled.seconds)}/s` : '';
  write(
    `pulled  ${pulled.fetched} files, ${formatBytes(pulled.bytes)} in ${formatSeconds(pulled.seconds)}${rate}; ${pulled.kept} were there already`,
  );
  if (only) write(`left    ${plan.left} artefacts that --only does not name: verify will say that they are missing`);
  if (pulled.foreign.length > 0) write(`left    ${pulled.foreign.length} objects that are none of a bundle's`);
  if (pulled.plain !== undefined) write(`plain   ${pulled.plain.files} artefacts decrypted into ${pulled.plain.path}`);
  if (access === undefined) write(styled('yellow', 'the access is not on the custody chain (--unrecorded)', stdout));
  else write(`access  entry ${access.sequence} of the custody chain: ${access.sequence}:${access.sha256}`);
  if (!only && troubles.length === 0) write(`next    ${program} verify ${pulled.path} --key PUBLIC-KEY`);
  write(
    troubles.length === 0
      ? styled(['green', 'bold'], 'every file is as the chain says; whose chain it is, verify tells', stdout)
      : styled(['red', 'bold'], `${troubles.length} files are not as the chain says, or could not be had`, stdout),
  );
  write(pulled.path);
}
