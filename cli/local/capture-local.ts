// Captures this machine: begins a bundle, runs the collectors, seals it, and says what a responder wants first.
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import {
  captureNode,
  type FootprintItem,
  type Host,
  hostAt,
  type NodeSettings,
  nodeCollectors,
  nodeSettings,
  profiles,
} from '../../agent/index.ts';
import { type CollectorResult, selectCollectors } from '../../capture/index.ts';
import {
  assertName,
  beginBundle,
  beginSession,
  bundleId,
  bundlePrefix,
  type ChainHead,
  type Custody,
  DirectoryStore,
  describeError,
  type Ending,
  endBundle,
  ImpoundError,
  LocalCustodian,
  readPublicKey,
  systemClock,
  verifyBundle,
} from '../../evidence/index.ts';
import { localActor } from '../actor.ts';
import { printReport } from '../bundles/verify-bundle.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { CaptureArguments } from '../commands/capture.ts';
import { publicHalf, type SigningKey, signingKey } from '../key.ts';
import { saveMemory } from '../memory.ts';
import { captureProgress } from '../terminal/progress.ts';
import { software } from '../version.ts';
import { printSummary } from './summary.ts';
import { parseSuspect } from './suspect.ts';
import { type StandingOut, standingOut } from './triage.ts';

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
  const intact = !argv.verify || (await verifyCaptured(captured, environment));
  if (!environment.json) environment.stdout.write(`${captured.path}\n`);
  if (captured.outcome === 'aborted') return 2;
  const gaps = captured.results.some((result) => result.gaps.length > 0);
  return intact && !(argv.strict && gaps) ? 0 : 1;
}

/** Everything that can be wrong with the words is found before anything is written. */
async function makePlan(argv: CaptureArguments) {
  if (argv.case !== undefined) assertName(argv.case, 'case');
  const selected = selectCollectors(nodeCollectors, {
    profile: profiles[argv.profile],
    only: argv.collector,
    skip: argv.skip,
  });
  if (selected.run.length === 0) {
    throw new ImpoundError('usage', 'nothing is left to collect: --skip takes every collector away', {
      operation: 'read arguments',
    });
  }
  const root = resolve(argv.root);
  await access(join(root, 'proc/self'), constants.R_OK).catch((cause: unknown) => {
    throw new ImpoundError('usage', `--root ${argv.root} has no proc file system below it`, {
      operation: 'read arguments',
      cause,
    });
  });
  const host = hostAt(root);
  const id = bundleId(systemClock.now());
  return {
    selected,
    settings: settingsOf(argv, host),
    host,
    id,
    storeRoot: resolve(argv.store),
    path: join(resolve(argv.store), bundlePrefix(undefined, argv.case, id)),
  };
}

function settingsOf(argv: CaptureArguments, host: Host): NodeSettings {
  const settings = nodeSettings(host);
  const named = (socket: string | undefined): readonly string[] | undefined =>
    socket === undefined ? undefined : [resolve(socket)];
  if (argv.watch < 0 || argv.watch > MAX_WATCH_SECONDS) {
    throw new ImpoundError('usage', `--watch ${argv.watch}: give seconds from 0 to ${MAX_WATCH_SECONDS}`, {
      operation: 'read arguments',
    });
  }
  return {
    ...settings,
    profile: argv.profile,
    suspects: argv.suspect.map(parseSuspect),
    dockerSockets: named(argv.docker) ?? settings.dockerSockets,
    criSockets: named(argv.cri ?? argv.containerd) ?? settings.criSockets,
    containerdSockets: named(argv.containerd) ?? settings.containerdSockets,
    watch: argv.watch,
    freeze: argv.freeze,
    devices: argv.device.map((path) => resolve(path)),
  };
}

const MAX_WATCH_SECONDS = 3600;

type Plan = Awaited<ReturnType<typeof makePlan>>;

async function capture(
  argv: CaptureArguments,
  plan: Plan,
  { signer, file, made }: SigningKey,
  environment: Environment,
): Promise<LocalCapture> {
  const begun = performance.now();
  const actor = localActor();
  const store = new DirectoryStore({ root: plan.path, partial: join(plan.storeRoot, '.partial', plan.id) });
  await store.prepare();
  const onSuspectDisk = await isOnDisk(plan.storeRoot, plan.host.root);
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
    storeOnSuspectDisk: onSuspectDisk,
    encryption: argv.encryption,
  });
  const all = [...plan.selected.run, ...plan.selected.skipped].map((collector) => collector.name);
  await beginSession(chain, {
    session: 1,
    software: custody.software,
    profile: argv.profile,
    collectors: all,
    suspects: argv.suspect,
  });
  const custodian = new LocalCustodian({ store, chain, clock: systemClock });
  const written: FootprintItem[] = [
    { kind: 'write', name: plan.storeRoot, detail: 'the bundle, and what is being written of it in .partial' },
    ...(made ? [{ kind: 'write', name: file, detail: 'the signing key, its public half beside it' } as const] : []),
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
    const head = await endBundle(custody, chain, { outcome, ...more });
    await store.finish();
    return head;
  };
  const captured = captureNode({
    host: plan.host,
    settings: { ...plan.settings, ownFolders: [plan.storeRoot] },
    selected: plan.selected,
    custodian,
    session: 1,
    signal: environment.signal,
    log: environment.log,
    clock: systemClock,
    observe: quiet ? () => undefined : progress.observe,
  }).finally(quiet ? () => undefined : progress.end);
  const { results, footprint, leftBehind } = await captured.catch((error: unknown) => rescue(error, plan.path, ending));
  if (leftBehind) environment.endHard();
  const outcome = environment.signal.aborted ? 'aborted' : 'complete';
  const head = await ending(outcome, {
    gaps: results.flatMap((result) => result.gaps),
    footprint: [...written, ...footprint],
  });
  return {
    bundle: plan.id,
    path: plan.path,
    node: hostname(),
    outcome,
    seconds: Math.round(performance.now() - begun) / 1000,
    head,
    keyFile: file,
    publicKeyFile: await publicHalf(file),
    keyid: signer.keyid,
    onSuspectDisk,
    results,
    standsOut: await standingOut(store),
  };
}

/** The store failed: what it holds is sealed where it still takes a few bytes, and the failure says where that is. */
async function rescue(
  error: unknown,
  path: string,
  ending: (outcome: 'aborted', more: { recover: true }) => Promise<ChainHead>,
): Promise<never> {
  const sealed = await ending('aborted', { recover: true }).then(
    () => 'what was stored until then is sealed',
    (cause: unknown) =>
      `what was stored until then is not sealed (${describeError(cause)}): make room, then "impound seal"`,
  );
  const code = error instanceof ImpoundError ? error.code : 'internal';
  const message = `${describeError(error)}; ${sealed}: ${path}`;
  throw new ImpoundError(code, message, { operation: 'capture', thing: path, cause: error });
}

async function isOnDisk(store: string, root: string): Promise<boolean> {
  return (await stat(store)).dev === (await stat(root)).dev;
}

async function verifyCaptured(captured: LocalCapture, environment: Environment): Promise<boolean> {
  const store = new DirectoryStore({ root: captured.path, partial: captured.path });
  const trusted = [await readPublicKey(captured.keyFile)];
  const report = await verifyBundle(store, { trusted, head: captured.head });
  if (environment.json) environment.stdout.write(`${JSON.stringify({ verified: report })}\n`);
  else {
    environment.stdout.write('\nverified\n');
    printReport(report, captured.path, environment);
  }
  return report.verdict === 'intact';
}
