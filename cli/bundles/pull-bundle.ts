// Fetches a bundle: the access on its chain first, then every file verified as it comes, what is whole kept.
import { join, resolve } from 'node:path';
import {
  type ChainHead,
  describeError,
  forEachBounded,
  ImpoundError,
  readIdentities,
  type Store,
} from '../../evidence/index.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { PullArguments } from '../commands/pull.ts';
import { byteProgress } from '../terminal/byte-progress.ts';
import { usage } from '../usage.ts';
import { type NamedBundle, openNamed } from './named.ts';
import { recordAccess } from './pull/access.ts';
import { fetchFile, type Progress } from './pull/fetch.ts';
import { PullFolder } from './pull/folder.ts';
import { plainFiles } from './pull/plain.ts';
import { assertWanted, type PullPlan, planPull, type WantedFile, wantedPaths } from './pull/plan.ts';
import { type Pulled, printPulled, type Trouble } from './pull/result.ts';
import { readStanding, type Standing } from './pull/standing.ts';

/** RFC 9562; anything else might be a folder that is there for something else. */
const BUNDLE_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export async function runPull(argv: PullArguments, environment: Environment): Promise<ExitCode> {
  await using named = await openNamed(argv.bundle, argv);
  const { store, path } = named;
  if (named.record !== undefined && (argv.key !== undefined || argv.unrecorded))
    throw usage('--key and --unrecorded: of a capture by its name the controller records the access, with its own key');
  const before = await readStanding(store);
  const bundle = before.entries[0]?.statement.predicate.bundle ?? '';
  if (!BUNDLE_ID.test(bundle))
    throw new ImpoundError('not-a-bundle', `its chain calls the bundle ${JSON.stringify(bundle)}, which is no UUID`, {
      operation: 'pull',
      thing: store.url,
    });
  const folder = new PullFolder(resolve(argv.dir), bundle);
  const identities = argv.identity === undefined ? undefined : await readIdentities(argv.identity);
  // what would be refused for its words is refused before it is recorded as done
  assertWanted(before, argv.only);
  await folder.prepare();
  const access = await record(named, before, argv, environment);
  const standing = access === undefined ? before : await readStanding(store, before);
  const plan = await planPull(store, standing, argv.only);
  const pulled = await fetchAll(store, folder, plan, environment);
  const unsound = new Set(pulled.troubles.map((trouble) => trouble.path));
  const sound = plan.files.filter((file) => !unsound.has(file.path));
  const plain =
    identities === undefined
      ? undefined
      : await plainFiles(folder, new PullFolder(resolve(argv.dir), `${bundle}-plain`), sound, identities);
  const result = { ...pulled, ...(plain === undefined ? {} : { plain }) };
  if (environment.json) environment.stdout.write(`${JSON.stringify({ bundle, from: path, access, ...result })}\n`);
  else printPulled(result, { plan, access, only: argv.only.length > 0 }, environment);
  const troubles = [...result.troubles, ...(plain?.troubles ?? [])];
  if (troubles.some(({ kind }) => kind !== 'failed')) return 1;
  return troubles.length > 0 ? 2 : 0;
}

/** Undefined where the person will not have it on the chain. */
async function record(
  { store, record }: NamedBundle,
  before: Standing,
  argv: PullArguments,
  environment: Environment,
): Promise<ChainHead | undefined> {
  if (record !== undefined)
    return record(argv.reason, argv.only.length === 0 ? undefined : wantedPaths(before, argv.only));
  return argv.unrecorded ? undefined : recordAccess(store, before.entries, argv, environment);
}

async function fetchAll(store: Store, folder: PullFolder, plan: PullPlan, environment: Environment): Promise<Pulled> {
  const begun = performance.now();
  const total = plan.files.reduce((sum, { size }) => sum + size, 0);
  const troubles: Trouble[] = plan.missing.map((path) => ({
    path,
    kind: 'missing',
    message: 'the chain names this file and the store has not got it',
  }));
  const counts = { fetched: 0, kept: 0, bytes: 0 };
  const progress = byteProgress('pulling', environment);
  try {
    await forEachBounded(plan.files, store.concurrency, async (file) => {
      const trouble = await fetchOne(store, folder, file, counts, (bytes, from) => {
        if (from === 'store') counts.bytes += bytes;
        progress.advance(bytes, total);
      });
      if (trouble !== undefined) troubles.push(trouble);
    });
  } finally {
    progress.end();
  }
  await folder.finish();
  const seconds = (performance.now() - begun) / 1000;
  const { left, foreign, unnamed } = plan;
  return { path: folder.path, ...counts, left, seconds, foreign, unnamed, troubles };
}

async function fetchOne(
  store: Store,
  folder: PullFolder,
  file: WantedFile,
  counts: { fetched: number; kept: number },
  progress: Progress,
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
    const gone = error instanceof ImpoundError && error.code === 'object-missing';
    return { path, kind: gone ? 'missing' : 'failed', message: describeError(error) };
  }
}
