// NodeCapture (impound.dev/v1alpha1): one schema from which its types, its checks here and the API server's are made.
import { z } from 'zod';
import { ImpoundError } from '../evidence/index.ts';
import { subdomain } from './node-capture/fields.ts';
import { nodeCaptureSpec } from './node-capture/spec.ts';
import { nodeCaptureStatus } from './node-capture/status.ts';

export const GROUP = 'impound.dev';
export const VERSION = 'v1alpha1';
export const KIND = 'NodeCapture';
export const PLURAL = 'nodecaptures';
/** Keeps a NodeCapture until its node has been released. */
export const FINALIZER = `${GROUP}/release`;

/** The name is also the value of a taint and of labels, which have at most this many characters. */
export const MAX_NAME = 63;
/** Of an error's text: an object with a thousand mistakes has one line too. */
const MAX_SHOWN_ISSUES = 5;
const MAX_SHOWN_CHARACTERS = 200;
/** Nothing of the schema lies as deep. */
const MAX_DEPTH = 8;

type Immutable<T> = T extends object ? { readonly [K in keyof T]: Immutable<T[K]> } : T;

/** What Kubernetes keeps of every object; what is not named here is left as it is. */
const metadata = z.looseObject({
  name: subdomain("The capture's name.", MAX_NAME),
  uid: z.string().optional(),
  resourceVersion: z.string().optional(),
  generation: z.int().optional(),
  creationTimestamp: z.string().optional(),
  deletionTimestamp: z.string().optional(),
  finalizers: z.array(z.string()).optional(),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});

const nodeCapture = z.object({
  apiVersion: z.literal(`${GROUP}/${VERSION}`),
  kind: z.literal(KIND),
  metadata,
  spec: nodeCaptureSpec,
  status: nodeCaptureStatus.optional(),
});

/** As it is once it has been read: with its defaults. */
export type NodeCapture = Immutable<z.output<typeof nodeCapture>>;
export type NodeCaptureSpec = NodeCapture['spec'];
/** As a person writes it: what has a default may be missing. */
export type NodeCaptureRequest = Immutable<z.input<typeof nodeCaptureSpec>>;
export type NodeCaptureStatus = Immutable<z.output<typeof nodeCaptureStatus>>;
export type NodeCapturePhase = NonNullable<NodeCaptureStatus['phase']>;
export type NodeCaptureCondition = NonNullable<NodeCaptureStatus['conditions']>[number];

/**
 * A NodeCapture as the API server gives it. What its spec has and this version does not know is an error, not left
 * out: a capture would be another than was asked for. Throws `usage`.
 */
export function parseNodeCapture(value: unknown): NodeCapture {
  return parse(nodeCapture, value, 'NodeCapture');
}

/** A spec as a person wrote it, with its defaults filled in as the API server fills them. Throws `usage`. */
export function parseNodeCaptureSpec(value: unknown): NodeCaptureSpec {
  return parse(nodeCaptureSpec, value, 'spec');
}

/** A status before it is written, so that the API server has no reason to refuse it. Throws `usage`. */
export function parseNodeCaptureStatus(value: unknown): NodeCaptureStatus {
  return parse(nodeCaptureStatus, value, 'status');
}

function parse<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const read = schema.safeParse(withoutNulls(value, MAX_DEPTH));
  if (read.success) return read.data;
  const { issues } = read.error;
  const shown = issues.slice(0, MAX_SHOWN_ISSUES).map(({ path, message }) => {
    const place = [what, ...path].join('.').slice(0, MAX_SHOWN_CHARACTERS);
    return `${place}: ${message.slice(0, MAX_SHOWN_CHARACTERS)}`;
  });
  const more = issues.length > shown.length ? [`and ${issues.length - shown.length} more`] : [];
  throw new ImpoundError('usage', [...shown, ...more].join('; '), {
    operation: 'read NodeCapture',
    cause: read.error,
  });
}

/** The API server takes a field that is null as one that is missing: "case:" in YAML, with nothing after it. */
function withoutNulls(value: unknown, depth: number): unknown {
  if (depth === 0 || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => withoutNulls(item, depth - 1));
  const fields = Object.entries(value).filter(([, field]) => field !== null);
  return Object.fromEntries(fields.map(([name, field]) => [name, withoutNulls(field, depth - 1)]));
}
