// The controller as a whole: one watch, one election, one queue, one server, and what they share.
import { describeError, type Logger, systemClock, within } from '../evidence/index.ts';
import { elect, type Kubernetes, type KubernetesObject, watchObjects, workQueue } from '../kubernetes/index.ts';
import { AGENT_AUDIENCE, type NodeCapture } from '../protocol/index.ts';
import { AgentDesk } from './agents/desk.ts';
import { AGENT_LIMITS, type AgentLimits } from './agents/limits.ts';
import { openProbes } from './agents/probe-store.ts';
import { receiveBytes } from './agents/receive.ts';
import { AgentRoll } from './agents/roll.ts';
import { agentRoutes } from './agents/routes.ts';
import { LiveCaptures, uidOf } from './captures/registry.ts';
import { bundleStore, grantSecret, openSigner, openStore } from './captures/stores.ts';
import { survey } from './captures/survey.ts';
import type { ControllerConfig } from './config.ts';
import { NODES } from './containment/node.ts';
import { watchDenials } from './denials.ts';
import { openEvents } from './events.ts';
import { healthRoutes } from './health.ts';
import { hearing } from './hearing.ts';
import { identities } from './http/identities.ts';
import { Problem } from './http/problem.ts';
import { startServer } from './http/server.ts';
import { metrics } from './metrics.ts';
import { capturesByName, type Parsed, tellingWrites, uidLookup } from './objects.ts';
import { peoplesCaptures } from './people/access.ts';
import { checks } from './people/check.ts';
import { checkRoutes } from './people/check-routes.ts';
import { peopleRoutes } from './people/routes.ts';
import type { Reconciling } from './reconcile/phase.ts';
import { reconcile } from './reconcile/reconcile.ts';
import { CAPTURES, writeStatus } from './reconcile/status.ts';
import { leadersSigner } from './signing.ts';
import { afterOthers, sayWhoIsMissing, suspectsOf } from './standing.ts';
import type { Tell } from './tell.ts';
import { together } from './together.ts';
import { watchTrust } from './trust.ts';
import { makeTurns } from './turns.ts';

const LEASE = 'impound-controller';
/** Captures worked on at once; each mostly waits. */
const CONCURRENCY = 24;
/** Of what leads to a node's first evidence: bundles that are begun, sessions, what agents ask until something is stored. */
const FIRST_AT_ONCE = 8;
/** Captures until their first evidence: as many as keep processors and store busy. */
const BEGIN_AT_ONCE = 4;
/** For what was written and the watch has not told of; as a rule it does before. */
const RETRY_MILLISECONDS = 50;
const GRACE_MILLISECONDS = 5000;

export interface ControllerOptions {
  readonly config: ControllerConfig;
  readonly kubernetes: Kubernetes;
  readonly software: string;
  readonly log: Logger;
  /** Ends it in order: what is begun stands in store and status, for the next leader. */
  readonly signal: AbortSignal;
}

export interface Controller {
  readonly port: number;
  /** When all is ended. */
  readonly ended: Promise<void>;
}

export async function startController(options: ControllerOptions): Promise<Controller> {
  const { config, software, log, signal } = options;
  const { pod } = config;
  const clock = systemClock;
  const figures = metrics();
  const { kubernetes, denied } = watchDenials(options.kubernetes, log, figures.denied);
  const [store, key, secret] = await Promise.all([openStore(config), openSigner(config), grantSecret(config)]);
  // a store that cannot be written to is known before anybody needs it
  await store.prepare();
  await store.finish();
  const limits: AgentLimits = {
    ...AGENT_LIMITS,
    bytes: config.agents.maxBytes,
    artefacts: config.agents.maxArtefacts,
  };
  const events = openEvents(kubernetes, { log, clock, instance: pod.name });
  const parsed: Parsed = capturesByName(log);
  const telling = tellingWrites(kubernetes, CAPTURES, parsed);
  const desk = new AgentDesk((uid, node) => parsed.isCollecting(uid, node));
  const roll = new AgentRoll();
  const probes = await openProbes(config, desk, secret);
  const signer = leadersSigner(key, () => election.isLeader());
  let steppedDown: string | undefined;

  const turns = makeTurns({ atOnce: FIRST_AT_ONCE, begin: BEGIN_AT_ONCE, wake: (name) => queue.add(name) });
  const live = new LiveCaptures({
    turns,
    async optionsOf(capture, bundle) {
      const own = bundleStore(store, config, capture, bundle);
      await own.prepare();
      const actor = { kind: 'controller', name: pod.name, node: pod.node } as const;
      const url = `${config.service ?? ''}/agent/v1/bytes/${uidOf(capture)}`;
      const uploads = own.uploads({ seconds: config.agents.grantSeconds, receiver: { url, secret } });
      const custody = { store: own, signer, actor, clock, software };
      return { custody, uploads, limits, turns, tsa: config.tsa, log, refused: figures.refusedAgent };
    },
    surveyOf: (capture, opened, ending) => survey({ capture, live: opened, kubernetes, log, signal: ending }),
    changed: (name) => queue.add(name),
  });
  const tell: Tell = (capture, type, reason, message) => {
    const { name, uid = '' } = capture.metadata;
    log.info(message, { capture: name, reason });
    const nodeUid = nodes.get(capture.spec.node)?.metadata.uid;
    const node = { apiVersion: 'v1', kind: 'Node', name: capture.spec.node, uid: nodeUid ?? capture.spec.node };
    const own = { apiVersion: 'impound.dev/v1alpha1', kind: 'NodeCapture', name, uid };
    events.emit({ type, reason, message, regarding: [own, node] });
  };
  const context = (): Reconciling => ({
    ...{ kubernetes: telling, config, clock, log, signer, software, store, live },
    ...{ desk, tell, turns, steppedDown, deaf: ears.deaf, watched: parsed.all, nodeUid },
  });
  const underWay = together();
  const queue = workQueue({
    concurrency: CONCURRENCY,
    log,
    async work(name) {
      const capture = parsed.get(name);
      if (capture === undefined || !election.isLeader()) return undefined;
      if (parsed.isBehind(name)) return { after: RETRY_MILLISECONDS };
      const began = performance.now();
      const phase = capture.status?.phase ?? 'Pending';
      const seconds = (): number => (performance.now() - began) / 1000;
      try {
        const done = await underWay.with(reconcile(capture, context(), election.isLeader));
        figures.reconciled(phase, 'done', seconds());
        return done;
      } catch (error) {
        figures.reconciled(phase, 'failed', seconds());
        throw error;
      }
    },
  });
  const changed = (name: string, object: KubernetesObject | undefined): void => {
    const before = parsed.get(name);
    const capture = parsed.set(name, object);
    if (capture === undefined && before !== undefined) {
      desk.withdraw(uidOf(before));
      live.forget(uidOf(before));
    }
    figures.captures(parsed.byPhase());
    leaveSuspect();
    const isNew = capture !== undefined && capture.status?.phase === undefined && election.isLeader();
    // an event that comes late is of no account
    if (isNew && live.get(uidOf(capture)) === undefined) turns.begins(name);
    else if (capture?.status?.phase !== 'Protecting') turns.begun(name);
    if (election.isLeader()) queue.add(name);
  };
  const suspects = (): readonly NodeCapture[] => suspectsOf(parsed.all(), pod.node);
  const leaveSuspect = (): void => {
    if (suspects().length === 0 || !election.isLeader()) return;
    const names = suspects().map((capture) => `${capture.metadata.name} (${uidOf(capture)})`);
    const note = `${pod.name} on node ${pod.node}, suspect by ${names.join(', ')}`;
    log.warn('this replica stands on a suspect node, and leads no more', { node: pod.node });
    void election.stepDown(() => suspects().length === 0, note);
  };
  const assertLeader = (): void => {
    if (election.isLeader()) return;
    const leader = election.leader();
    if (leader?.address !== undefined && leader.identity !== pod.name)
      throw new Problem(421, 'not-leader', 'another replica leads', { leader: leader.address });
    throw new Problem(503, 'unavailable', 'no replica leads now: ask again', { retryAfter: 1 });
  };

  const nodes = watchObjects<KubernetesObject>({
    ...{ kubernetes, path: NODES, metadataOnly: true, log, signal },
    changed: () => undefined,
  });
  const podsPath = `/api/v1/namespaces/${pod.namespace}/pods`;
  const pods = watchObjects<KubernetesObject>({
    ...{ kubernetes, path: podsPath, metadataOnly: true, log, signal },
    changed: () => undefined,
  });
  const nodeUid = uidLookup(kubernetes, NODES, (name) => nodes.get(name));
  const podUid = uidLookup(kubernetes, podsPath, (name) => pods.get(`${pod.namespace}/${name}`));
  const ears = hearing({
    ...{ namespace: pod.namespace, log, denied, distrust: () => trust.lately() },
    isWanted: (node) => parsed.all().some(({ spec, status }) => spec.node === node && status?.phase === 'Collecting'),
  });
  const who = identities({
    ...{ api: kubernetes, clock, namespace: pod.namespace, nodeUid, podUid },
    audience: AGENT_AUDIENCE,
    serviceAccount: config.agents.serviceAccount,
    refused(reason, claimed) {
      figures.refusedToken(reason);
      ears.refused({ reason, ...claimed });
    },
  });
  const server = await startServer({
    routes: [
      ...healthRoutes({ metrics: figures, unready: () => unready() }),
      ...agentRoutes({
        ...{ identities: who, desk, limits, assertLeader, roll, probes },
        live: (uid) => live.get(uid),
        refused: figures.refusedAgent,
        unspoken: ears.unspoken,
        receive: receiveBytes(log),
      }),
      ...peopleRoutes({
        identities: who,
        log,
        captures: peoplesCaptures({
          ...{ live, store, config, signer, clock, kubernetes, assertLeader },
          list: () => parsed.all(),
          find: (name) => parsed.get(name),
        }),
      }),
      ...checkRoutes({
        ...{ identities: who, log, assertLeader },
        checks: checks({
          ...{ config, signer, software, desk, roll, probes, log },
          isCapturing: (node) => live.isAgentBusy(node, ''),
        }),
      }),
    ],
    tls: { cert: config.listen.certificate, key: config.listen.key },
    ...{ host: config.listen.host, port: config.listen.port, log },
    observe: ({ route, status, seconds }) => figures.request(route, status, seconds),
  });
  const trust = watchTrust({
    ...{ clock, log, signal, authority: config.agents.authority },
    serverName: new URL(config.service ?? `https://${LEASE}.${pod.namespace}.svc`).hostname,
    own: { host: ownHost(config.listen.host), port: server.port },
    served: () => server.certificates().served,
    looked(distrust) {
      figures.certificates(server.certificates());
      figures.trusted(distrust === undefined);
      turn.look();
    },
  });
  const host = pod.address.includes(':') ? `[${pod.address}]` : pod.address;
  const election = elect({
    ...{ kubernetes, namespace: pod.namespace, name: LEASE, identity: pod.name, log, signal },
    annotations: { 'impound.dev/address': `https://${host}:${server.port}` },
    mayLead: () => watch.healthy && suspects().length === 0 && turn.may(),
    async led(over, taken) {
      steppedDown = taken.steppedDown;
      figures.leads(true);
      roll.begin();
      live.begin();
      for (const { metadata } of parsed.all()) queue.add(metadata.name);
      await aborted(over);
      figures.leads(false);
      desk.clear();
      turns.clear();
      // who leads next waits for that
      await Promise.all([live.forgetAll(), underWay.settled()]);
    },
  });
  const watch = watchObjects<KubernetesObject>({ kubernetes, path: CAPTURES, log, signal, changed });
  const turn = afterOthers(
    () => trust.distrust() === undefined,
    () => (election.leader()?.identity ?? pod.name) !== pod.name,
  );
  const standing = sayWhoIsMissing({
    ...{ pod, signal, captures: () => parsed.all() },
    anybodyLeads: () => election.isLeader() || election.leader() !== undefined,
    say: (capture, message, said) => writeStatus(kubernetes, clock, capture, { message, said }),
  });
  const unready = (): string | undefined => {
    if (!watch.healthy) return 'the NodeCaptures are not known yet';
    const denial = denied();
    if (denial !== undefined) return denial;
    // agents hear from the one that leads why they do not trust it
    return election.isLeader() ? undefined : trust.distrust()?.message;
  };

  const end = async (): Promise<void> => {
    await aborted(signal);
    await Promise.all([server.close(GRACE_MILLISECONDS), election.ended, queue.stop()]);
    await within(events.settled(), GRACE_MILLISECONDS, () => undefined);
    await Promise.all([watch.ended, nodes.ended, pods.ended, standing, trust.ended]);
  };
  return {
    port: server.port,
    ended: end().catch((error) => log.error('it did not end in order', { error: describeError(error) })),
  };
}

/** Where this process reaches a server of its own that listens on `host`. */
function ownHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
