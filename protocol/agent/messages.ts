// What an agent and the controller say to each other: docs/agent-protocol.md explains it. Each side checks what comes.
import { z } from 'zod';

/** Of the protocol; in every path, and chosen at the poll. */
export const PROTOCOL_VERSIONS = ['v1'] as const;

/** Audience of an agent's token. */
export const AGENT_AUDIENCE = 'impound-controller';

/** A poll is answered after this at the latest, and asked again at once. */
export const POLL_SECONDS = 25;
/** While it collects an agent says something at least this often; after SILENCE_SECONDS it is taken for silent. */
export const BEAT_SECONDS = 5;
export const SILENCE_SECONDS = 20;

/** Of one request: what is more is sent with the next. */
export const MAX_CALLS = 256;
export const MAX_CALLS_BYTES = 2 * 1024 * 1024;
/** Of what an idle agent is asked to store, to try its way to the store. */
export const MAX_PROBE_BYTES = 1024;
/** For how long an agent tries that; then it says that nobody answered. */
export const PROBE_SECONDS = 15;
/** Of what is said at a session's end: gaps by name, and what the capture did to the node. */
export const MAX_END_BYTES = 8 * 1024 * 1024;

const MAX_PATH = 800;
const MAX_TEXT = 1024;
const MAX_NAME = 300;
const MAX_PARTS = 10_000;
const MAX_COLLECTORS = 100;
const MAX_GROUPS = 300;
const MAX_GAP_NAMES = 1000;
const MAX_FOOTPRINT = 10_000;
const MAX_RUNTIMES = 32;

const line = z.string().max(MAX_TEXT);
const name = z.string().max(MAX_NAME);
const path = z.string().min(1).max(MAX_PATH);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const size = z.int().min(0);
const time = z.iso.datetime({ precision: 3 });
const id = z.string().min(1).max(MAX_TEXT);
const session = z.int().min(1).max(1_000_000);

export const pollRequest = z.object({
  /** Of the protocol, that this agent speaks. */
  versions: z.array(z.string().max(20)).min(1).max(10),
  software: line,
  /** What else than captures it does when it is asked to: "probe". Nobody is asked for what they have not said here. */
  can: z.array(z.string().max(20)).max(10).optional(),
  /** Its clock when it sent this. */
  utc: time.optional(),
});

const suspect = z.union([
  z.object({ kind: z.literal('pod'), namespace: name, name }),
  z.object({ kind: z.literal('container'), id: name }),
  z.object({ kind: z.literal('pid'), pid: z.int().min(1) }),
]);

/** What is to be captured. */
const order = z.object({
  /** Of the NodeCapture: it names the capture in every path. */
  uid: z.uuid(),
  name,
  bundle: z.uuid(),
  profile: z.enum(['quick', 'standard', 'full']),
  only: z.array(name).max(MAX_COLLECTORS),
  skip: z.array(name).max(MAX_COLLECTORS),
  /** Collectors that an earlier session saw to their end. */
  done: z.array(name).max(MAX_COLLECTORS),
  suspects: z.array(suspect).max(64),
  watchSeconds: z.int().min(0),
  freeze: z.boolean(),
  /** age recipients; none where evidence is to be stored as it is. */
  recipients: z.array(z.string().max(2000)).max(32),
  /** For how long may be collected from now on. */
  seconds: z.int().min(0),
});

/** One PUT, to be sent as it stands. */
const grant = {
  url: z.url({ protocol: /^https?$/ }).max(8000),
  headers: z.record(z.string(), z.string()),
  expires: z.string(),
};

/** Bytes that mean nothing, to be stored by the same way as evidence. */
const probe = z.object({
  id: z.string().regex(/^[0-9a-f]{32}$/),
  ...grant,
  body: z.string().max(MAX_PROBE_BYTES),
});

export const pollReply = z.object({
  version: z.enum(PROTOCOL_VERSIONS),
  /** Null where there is nothing to do: poll again. */
  capture: order.nullable(),
  /** To be tried beside, while the next poll waits already: a capture does not wait for it. */
  probe: probe.nullish(),
});

/** What became of a probe. The controller looks in the store, too. */
export const probedRequest = z.object({
  milliseconds: z.int().min(0).max(600_000),
  /** Why nothing was stored, where nothing was: in ImpoundError's codes, and for people. */
  failure: z.object({ code: z.string().max(100), message: line }).optional(),
  /** Sockets of container runtimes at which somebody listens, as the agent sees them. */
  runtimes: z.array(line).max(MAX_RUNTIMES).readonly().optional(),
});

export const sessionRequest = z.object({
  /** Made by the agent: asked again with the same one, the session is the same. */
  nonce: z.string().regex(/^[0-9a-f]{32}$/),
  software: line,
  /** What it is going to run; nothing where all was seen to its end before. */
  collectors: z.array(z.string().regex(/^[a-z][a-z0-9-]{0,62}$/)).max(MAX_COLLECTORS),
});

export const sessionReply = z.object({ session });

const claim = { path, size, sha256 };
const part = z.object({ size: z.int().min(1), sha256 });

const gapGroup = z.object({
  collector: name,
  session,
  reason: z.enum([
    'denied',
    'vanished',
    'truncated',
    'absent',
    'unsupported',
    'timeout',
    'skipped',
    'failed',
    'aborted',
    'crashed',
  ]),
  detail: line.optional(),
  /** Sums of it stay whole numbers. */
  count: z.int().min(1).max(1_000_000_000),
  names: z.array(name).max(MAX_GAP_NAMES),
});

const collectorEnd = z.object({
  collector: name,
  session,
  outcome: z.enum(['complete', 'partial', 'absent', 'failed', 'timeout', 'aborted', 'skipped']),
  seconds: z.number().min(0),
  gaps: z.array(gapGroup.extend({ names: z.array(name).max(20) })).max(MAX_GROUPS),
});

const clockSample = z.object({
  phase: name,
  utc: line,
  monotonicSeconds: z.number(),
  boottimeSeconds: z.number().optional(),
  bootId: name.optional(),
  clockSource: name.optional(),
  synchronised: z.boolean().optional(),
});

/** What is said of a stored artefact; how the store calls it the controller has seen itself. */
const record = z.object({
  ...claim,
  parts: z.array(part).min(1).max(MAX_PARTS).optional(),
  collector: name,
  session,
  source: line,
  begun: time,
  ended: time,
  plainSha256: sha256.optional(),
  contentSize: size.optional(),
  truncated: line.optional(),
});

/** Each may be sent again, and then answers the same. */
const agentCall = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('grant-object'), ...claim }),
  z.object({ kind: z.literal('begin-upload'), path }),
  z.object({ kind: z.literal('grant-part'), ...claim, upload: id, number: z.int().min(1).max(MAX_PARTS) }),
  z.object({ kind: z.literal('complete-upload'), path, upload: id, parts: z.array(part).min(1).max(MAX_PARTS) }),
  z.object({ kind: z.literal('finished'), ...claim, versionId: id.optional() }),
  z.object({ kind: z.literal('finished-part'), ...claim, upload: id, number: z.int().min(1).max(MAX_PARTS) }),
  z.object({ kind: z.literal('record'), record }),
  z.object({ kind: z.literal('ended'), end: collectorEnd }),
  z.object({ kind: z.literal('clock'), sample: clockSample }),
]);

/** With no calls it is a beat: the agent lives. */
export const callsRequest = z.object({ session, calls: z.array(agentCall).max(MAX_CALLS) });

const callResult = z.union([
  z.object({ ok: z.literal(true), value: z.unknown() }),
  z.object({ ok: z.literal(false), code: z.string().max(100), message: z.string().max(2000) }),
]);

export const callsReply = z.object({
  /** One a call, in order. */
  results: z.array(callResult).max(MAX_CALLS),
  /** Why collecting is to end now. */
  stop: z.string().max(200).nullable(),
});

export const grantValue = z.object(grant);

export const namesValue = z.object({ versionId: z.string().optional(), etag: z.string().optional() });

const footprintItem = z.object({
  kind: z.enum(['process', 'program', 'connection', 'write', 'note']),
  name: line,
  detail: z.string().max(4096).optional(),
});

export const endRequest = z.object({
  session,
  outcome: z.enum(['complete', 'aborted', 'failed']),
  /** Where it failed. */
  reason: line.optional(),
  /** With more names than the chain keeps. */
  gaps: z.array(gapGroup).max(2000),
  footprint: z.array(footprintItem).max(MAX_FOOTPRINT),
});

export type CaptureOrder = z.output<typeof order>;
export type ProbeOrder = z.output<typeof probe>;
export type ProbedRequest = z.output<typeof probedRequest>;
export type AgentCall = z.output<typeof agentCall>;
export type CallResult = z.output<typeof callResult>;
export type SessionRequest = z.output<typeof sessionRequest>;
export type EndRequest = z.output<typeof endRequest>;
