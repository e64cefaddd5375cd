// What the controller answers at /v1/check (docs/api.md): itself, its key, its store, its agents; tried, where it was asked to.
import { z } from 'zod';

const text = z.string();

const storeCheck = z.object({
  store: text,
  verdict: z.enum(['suitable', 'unsuitable', 'could not be checked']),
  checks: z
    .array(
      z.object({
        name: text,
        tried: text,
        needed: z.boolean(),
        outcome: z.enum(['ok', 'failed', 'warning', 'skipped']),
        seen: text,
        remedy: text.optional(),
      }),
    )
    .readonly(),
  /** What the trial itself leaves in the store. */
  left: z.array(text).readonly(),
  refusal: z.object({ code: text, message: text }).optional(),
});

/** Sockets of container runtimes that its agent found somebody listen at; absent where it does not say. */
const runtimes = z.array(text).readonly().optional();

/** What became of a node's own try to store a tiny object. */
const way = z.discriminatedUnion('outcome', [
  z.object({ outcome: z.literal('stored'), milliseconds: z.number(), runtimes }),
  z.object({ outcome: z.literal('failed'), milliseconds: z.number(), code: text, message: text, runtimes }),
  /** Nobody took it, or nobody said what became of it. */
  z.object({ outcome: z.literal('silent') }),
  /** Its agent is at a capture, whose evidence takes this way. */
  z.object({ outcome: z.literal('busy') }),
  z.object({ outcome: z.literal('unasked'), why: text }),
]);

const agent = z.object({
  node: text,
  pod: text,
  /** "waiting": its poll is here; "away": it was heard and is not here. */
  state: z.enum(['waiting', 'capturing', 'away']),
  /** Since it was last heard. */
  seconds: z.number(),
  /** As it says of itself. */
  software: text.optional(),
  /** How far its clock is ahead of the replica's, less what its poll was under way for. */
  aheadMilliseconds: z.number().optional(),
  store: way.optional(),
});

export const checkReply = z.object({
  replica: z.object({
    pod: text,
    node: text,
    software: text,
    leadsSeconds: z.number(),
    /** Its clock. */
    utc: text,
  }),
  key: z.object({
    /** SHA-256 of the public key's SPKI DER, lower-case hex. */
    keyid: text,
    kind: text,
    signs: z.boolean().optional(),
    milliseconds: z.number().optional(),
    /** Why it does not sign. */
    problem: text.optional(),
  }),
  store: z.object({ url: text, check: storeCheck.optional() }),
  agents: z.array(agent).readonly(),
});

export type CheckReply = z.output<typeof checkReply>;
export type CheckedAgent = z.output<typeof agent>;
export type CheckedWay = z.output<typeof way>;
