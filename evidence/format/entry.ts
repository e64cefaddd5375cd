// One custody entry: an in-toto Statement v1 whose predicate says who did what, and when, to which artefacts.
import { ImpoundError } from '../errors.ts';
import type { Actor } from '../ports.ts';
import type { ArtefactRecord, ClockSample, CollectorEnd } from './record.ts';

export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
export const PREDICATE_TYPE = 'https://impound.dev/custody/v1';

/** Actions of the format; verifiers warn of others. */
export const ACTIONS = [
  'grant',
  'session',
  'protect',
  'collect',
  'snapshot',
  'isolate',
  'remove',
  'close',
  'seal',
  'access',
  'export',
  'transfer',
  'release',
  'timestamp',
  'note',
] as const;

export type Action = (typeof ACTIONS)[number];

/** These make the sealed part; every other action may follow the seal. */
export const SEALED_ACTIONS: ReadonlySet<string> = new Set(['grant', 'session', 'collect', 'close', 'seal']);

export interface Subject {
  readonly name: string;
  readonly digest: { readonly sha256: string };
}

/** `time` is RFC 3339 UTC, never before the previous entry's; `previous` is the SHA-256 of its stored bytes. */
export interface Predicate {
  readonly bundle: string;
  readonly sequence: number;
  readonly previous: string | null;
  readonly time: string;
  readonly nonce: string;
  readonly actor: Actor;
  readonly action: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export interface Statement {
  readonly _type: typeof STATEMENT_TYPE;
  readonly subject: readonly Subject[];
  readonly predicateType: typeof PREDICATE_TYPE;
  readonly predicate: Predicate;
}

/** `details` of a session entry: what was planned, so that coverage can say what did not run. */
export interface SessionDetails {
  readonly session: number;
  readonly software: string;
  readonly profile: string;
  readonly collectors: readonly string[];
  readonly suspects: readonly unknown[];
}

/** `details` of a collect entry. */
export interface CollectDetails {
  readonly artefacts: readonly ArtefactRecord[];
  readonly ended?: readonly CollectorEnd[];
  readonly clock?: readonly ClockSample[];
}

/** `details` of a close entry. */
export interface CloseDetails {
  readonly outcome: 'complete' | 'aborted' | 'recovered';
  readonly software: string;
}

/** Reads a statement's bytes, refusing anything that is not of the format's shape. */
export function parseStatement(payload: Uint8Array, thing: string): Statement {
  const value = parseJson(payload, thing);
  const predicate = isRecord(value) ? value.predicate : undefined;
  const valid =
    isRecord(value) &&
    value._type === STATEMENT_TYPE &&
    value.predicateType === PREDICATE_TYPE &&
    Array.isArray(value.subject) &&
    value.subject.length > 0 &&
    value.subject.every(isSubject) &&
    isPredicate(predicate);
  if (!valid) throw invalid(thing, 'its payload is not a custody statement');
  return value as unknown as Statement;
}

export function parseJson(bytes: Uint8Array, thing: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ImpoundError('entry-invalid', `${thing} is not JSON`, { operation: 'read entry', thing, cause });
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const isSha256 = (value: unknown): value is string => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);

function isSubject(value: unknown): value is Subject {
  return isRecord(value) && typeof value.name === 'string' && isRecord(value.digest) && isSha256(value.digest.sha256);
}

function isPredicate(value: unknown): value is Predicate {
  return (
    isRecord(value) &&
    typeof value.bundle === 'string' &&
    Number.isInteger(value.sequence) &&
    (value.previous === null || isSha256(value.previous)) &&
    typeof value.time === 'string' &&
    /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/.test(value.time) &&
    typeof value.nonce === 'string' &&
    isRecord(value.actor) &&
    typeof value.actor.name === 'string' &&
    typeof value.actor.kind === 'string' &&
    typeof value.action === 'string' &&
    isRecord(value.details)
  );
}

/** The artefact records of a collect entry, checked one by one; anything else in its details is left alone. */
export function artefactRecords(details: Readonly<Record<string, unknown>>, thing: string): readonly ArtefactRecord[] {
  const { artefacts } = details;
  if (!Array.isArray(artefacts) || !artefacts.every(isArtefactRecord)) {
    throw invalid(thing, 'its artefact records are malformed');
  }
  return artefacts;
}

function isArtefactRecord(value: unknown): value is ArtefactRecord {
  return (
    isRecord(value) &&
    typeof value.path === 'string' &&
    Number.isSafeInteger(value.size) &&
    Number(value.size) >= 0 &&
    isSha256(value.sha256) &&
    typeof value.collector === 'string' &&
    Number.isInteger(value.session) &&
    typeof value.source === 'string' &&
    typeof value.begun === 'string' &&
    typeof value.ended === 'string' &&
    (value.parts === undefined || (Array.isArray(value.parts) && value.parts.every(isPart))) &&
    (value.contentSize === undefined || (Number.isSafeInteger(value.contentSize) && Number(value.contentSize) >= 0))
  );
}

function isPart(value: unknown): boolean {
  return isRecord(value) && Number.isSafeInteger(value.size) && Number(value.size) > 0 && isSha256(value.sha256);
}

/** The collector ends of a collect entry; malformed ones are dropped, since they prove nothing. */
export function collectorEnds(details: Readonly<Record<string, unknown>>): readonly CollectorEnd[] {
  const { ended } = details;
  return Array.isArray(ended) ? ended.filter(isCollectorEnd) : [];
}

function isCollectorEnd(value: unknown): value is CollectorEnd {
  return (
    isRecord(value) &&
    typeof value.collector === 'string' &&
    Number.isInteger(value.session) &&
    typeof value.outcome === 'string' &&
    typeof value.seconds === 'number' &&
    Array.isArray(value.gaps) &&
    value.gaps.every(
      (gap) =>
        isRecord(gap) &&
        typeof gap.collector === 'string' &&
        typeof gap.reason === 'string' &&
        Number.isInteger(gap.count) &&
        Array.isArray(gap.names) &&
        gap.names.every((name) => typeof name === 'string'),
    )
  );
}

function invalid(thing: string, why: string): ImpoundError {
  return new ImpoundError('entry-invalid', `${thing}: ${why}`, { operation: 'read entry', thing });
}
