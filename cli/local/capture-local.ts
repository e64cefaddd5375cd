// Captures this machine: begins a bundle, runs the collectors, seals it, and says what a responder wants first.
import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { captureNode, type FootprintItem } from '../../agent/index.ts';
import type { CollectorResult } from '../../capture/index.ts';
import { saveMemory } from '../../capture/memory.ts';
import {
  beginBundle,
  beginSession,
  type ChainHead,
  type Custody,
  describeError,
  type Ending,
  endBundle,
  ImpoundError,
  LocalCustodian,
  type Store,
  stampCapture,
  systemClock,
  verifyBundle,
} from '../../evidence/index.ts';
import { software } from '../../evidence/software.ts';
import { localActor } from '../actor.ts';
import { printReport } from '../bundles/verify-bundle.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { CaptureArguments } from '../commands/capture.ts';
import { publicHalf, type SigningKey, signingKey, trustedKey } from '../key.ts';
import { captureProgress } from '../terminal/progress.ts';
import { type StandingOut, triage } from '../triage/triage.ts';
import { makePlan, type Plan } from './plan.ts';
import { printSummary } from './summary.ts';

/** What a capture ended as, for the summary and for --json. */
export interface LocalCapture {
  readonly bundle: string;
  readonly path: string;
  readonly node: string;
  readonly outcome: 'complete' | 'aborted';
  readonly seconds: number;
  readonly head: ChainHead;
  readonly keyFile: string;
  /** The public half beside it where there is one, else the same file: its public half is taken. */
  readonly publicKeyFile: string;
  readonly keyid: string;
  readonly onSuspectDisk: boolean;
  readonly results: readonly CollectorResult[];
  readonly standsOut: StandingOut;
}

export async function captureLocal(argv: CaptureArguments, environment: Environment): Promise<ExitCode> {
  if (argv.profile !== 'quick') saveMemory();
  const plan = await makePlan(argv);
  const key = await signingKey(argv.key, environment);
  const captured = await capture(argv, plan, key, environment);
  if (environment.json) environment.stdout.write(`${JSON.stringify(captured)}\n`);
  else printSummary(captured, environment);
  const intact = !argv.verify || (await verifyCaptured(plan.place.store, captured, environment));
  if (!environment.json) environment.stdout.write(`${captured.path}\n`);
  if (captured.outcome === 'aborted') return 2;
  const gaps = captured.results.some((result) => result.gaps.length > 0);
  return intact && !(argv.strict && gaps) ? 0 : 1;
}

async function capture(
  argv: CaptureArguments,
  plan: Plan,
  { signer, file, made }: SigningKey,
  environment: Environment,
): Promise<LocalCapture> {
  const begun = performance.now();
  const actor = localActor();
  const { store, path, folder } = plan.place;
  await store.prepare();
  const onSuspectDisk = folder !== undefined && (await isOnDisk(folder, plan.host.root));
  const custody: Custody = { store, signer, actor, clock: systemClock, software: await software() };
  const chain = await beginBundle(custody, {
    bundle: plan.id,
    requestedBy: actor.name,
    requestedAt: systemClock.now().toISOString(),
    reason: argv.reason ?? null,
    case: argv.case ?? null,
    node: hostname(),
    profile: argv.profile,
    suspects: argv.suspect,
    store: path,
    ...plan.protection,
    storeOnSuspectDisk: onSuspectDisk,
    encryption: plan.recipients.length === 0 ? 'none' : 'age',
    recipients: plan.recipients.map(({ text }) => text),
    tsa: argv.tsa,
  });
  const stamps = stampCapture(store, chain, argv.tsa, environment.log);
  const all = [...plan.selected.run, ...plan.selected.skipped].map((collector) => collector.name);
  await beginSession(chain, {
    session: 1,
    software: custody.software,
    profile: argv.profile,
    collectors: all,
    suspects: argv.suspect,
  });
  const looking = triage(plan.settings.suspects);
  const { recipients } = plan;
  const custodian = new LocalCustodian({ store, chain, clock: systemClock, recipients, show: looking.look });
  const written: FootprintItem[] = [
    folder === undefined
      ? { kind: 'connection', name: path, detail: 'the store of the bundle' }
      : { kind: 'write', name: folder, detail: 'the bundle, and what is being written of it in .partial' },
    ...(made ? [{ kind: 'write', name: file, detail: 'the signing key, its public half beside it' } as const] : []),
    ...argv.tsa.map(
      (name) => ({ kind: 'connection', name, detail: 'asked for time stamps of grant and seal' }) as const,
    ),
    {
      kind: 'connection',
      name: '/var/run/nscd/socket',
      detail: 'the C library asks there for the name of our account',
    },
  ];
  const quiet = environment.quiet || environment.json;
  const progress = captureProgress(quiet ? [] : plan.selected.run.map(({ name }) => name), environment.stderr);
  const ending = async (outcome: 'complete' | 'aborted', more: Omit<Ending, 'outcome'> = {}): Promise<ChainHead> => {
    await custodian.flush();
    await stamps.beforeClose();
    const head = await stamps.afterSeal(await endBundle(custody, chain, { outcome, ...more }));
    await store.finish();
    return head;
  };
  const captured = captureNode({
    host: plan.host,
    settings: { ...plan.settings, ownFolders: folder === undefined ? [] : [folder] },
    selected: plan.selected,
    custodian,
    session: 1,
    signal: environment.signal,
    log: environment.log,
    clock: systemClock,
    observe: quiet ? () => undefined : progress.observe,
  }).finally(quiet ? () => undefined : progress.end);
  const { results, footprint, leftBehind } = await captured.catch((error: unknown) => rescue(error, path, ending));
  if (leftBehind) environment.endHard();
  const outcome = environment.signal.aborted ? 'aborted' : 'complete';
  const head = await ending(outcome, {
    gaps: results.flatMap((result) => result.gaps),
    footprint: [...written, ...footprint],
  });
  return {
    bundle: plan.id,
    path,
    node: hostname(),
    outcome,
    seconds: Math.round(performance.now() - begun) / 1000,
    head,
    keyFile: file,
    publicKeyFile: await publicHalf(file),
    keyid: signer.keyid,
    onSuspectDisk,
    results,
    standsOut: looking.standsOut(),
  };
}

/** The store failed: what it holds is sealed where it still takes a few bytes, and the failure says where that is. */
async function rescue(
  error: unknown,
  path: string,
  ending: (outcome: 'aborted', more: { recover: true }) => Promise<ChainHead>,
): Promise<never> {
  const code = error instanceof ImpoundError ? error.code : 'internal';
  // who sealed it has all that was stored
  if (code === 'bundle-sealed') throw error;
  const remedy = code === 'store-full' ? 'make room' : 'see that the store can be reached';
  const sealed = await ending('aborted', { recover: true }).then(
    () => 'what was stored until then is sealed',
    (cause: unknown) =>
      `what was stored until then is not sealed (${describeError(cause)}): ${remedy}, then "impound seal"`,
  );
  const message = `${describeError(error)}; ${sealed}: ${path}`;
  throw new ImpoundError(code, message, { operation: 'capture', thing: path, cause: error });
}

async function isOnDisk(store: string, root: string): Promise<boolean> {
  return (await stat(store)).dev === (await stat(root)).dev;
}

async function verifyCaptured(store: Store, captured: LocalCapture, environment: Environment): Promise<boolean> {
  const trusted = [await trustedKey(captured.keyFile)];
  const report = await verifyBundle(store, { trusted, head: captured.head });
  if (environment.json) environment.stdout.write(`${JSON.stringify({ verified: report })}\n`);
  else {
    environment.stdout.write('\nverified\n');
    printReport(report, captured.path, environment);
  }
  return report.verdict === 'intact';
}
