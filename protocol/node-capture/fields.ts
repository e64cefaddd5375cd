// Kinds of fields that NodeCapture is made of. Each bound is written once, and holds in zod and in the API server alike:
// lengths count code points, as JSON Schema does; patterns are what JavaScript and RE2 read the same way.
import { z } from 'zod';

/** As kubectl accepts a node's or a pod's name (RFC 1123): also of a Lease, a Node and most other objects. */
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
/** One segment of a bundle's path, and neither "." nor "..": what evidence/format/layout.ts says without a lookahead. */
const SEGMENT = /^(\.*[A-Za-z0-9_-][A-Za-z0-9._-]*|\.{3,})$/;
/** A container's id, or the name it has at its engine. */
const CONTAINER = /^[A-Za-z0-9_.-]+$/;
/** Also what begins no line of its own in a log, a table or a terminal. */
const NO_CONTROL = /^\P{Cc}*$/u;
/** RFC 3339, UTC; the API server's own times have no fraction. */
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z$/;

const MAX_SUBDOMAIN = 253;
const MAX_LABEL = 63;
const MAX_SEGMENT = 200;

export interface FieldWords {
  /** For `kubectl explain` and the documentation. */
  readonly description: string;
  /** What is said of a value with other characters. */
  readonly message: string;
}

/** Text of `min` to `max` code points that match. A text that is too long is not looked at further. */
function matching(pattern: RegExp, min: number, max: number, { description, message }: FieldWords) {
  const fits = (text: string): boolean => {
    const { length } = Array.from(text.slice(0, 2 * max + 1));
    return length >= min && length <= max;
  };
  return z
    .string()
    .refine(fits, { error: `give ${min} to ${max} characters`, abort: true })
    .regex(pattern, { error: message })
    .meta({ description, ...(min > 0 ? { minLength: min } : {}), maxLength: max });
}

export const text = (min: number, max: number, description: string) =>
  matching(NO_CONTROL, min, max, { description, message: 'control characters, line ends among them, are refused' });

export const subdomain = (description: string, max = MAX_SUBDOMAIN) =>
  matching(SUBDOMAIN, 1, max, {
    description,
    message: 'give a name of lower-case letters, digits, "-" and "." (a DNS-1123 subdomain)',
  });

export const label = (description: string) =>
  matching(LABEL, 1, MAX_LABEL, { description, message: 'give a name of lower-case letters, digits and "-"' });

export const segment = (description: string) =>
  matching(SEGMENT, 1, MAX_SEGMENT, { description, message: 'only letters, digits, ".", "_" and "-" are allowed' });

export const containerId = (description: string) =>
  matching(CONTAINER, 1, MAX_SUBDOMAIN, { description, message: 'give a container id, or its name' });

/** Text of one exact length or form, of ASCII only. */
export const form = (pattern: RegExp, min: number, max: number, words: FieldWords) =>
  matching(pattern, min, max, words);

export const integer = (min: number, max: number, description: string) =>
  z
    .int()
    .min(min)
    .max(max)
    .meta({ description, format: max > 2 ** 31 - 1 ? 'int64' : 'int32' });

export const flag = (description: string) => z.boolean().meta({ description });

export const time = (description: string) =>
  z
    .string()
    .regex(TIME, { error: 'give a time as 2006-01-02T15:04:05Z', abort: true })
    .refine(isTime, { error: 'there is no such time' })
    .meta({ description, format: 'date-time' });

function isTime(value: string): boolean {
  const at = Date.parse(value);
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(value.slice(0, 19));
}

/** Items that differ: a set, in the API server's word. */
export function setOf<T extends z.ZodType<string>>(item: T, max: number, description: string) {
  return z
    .array(item)
    .min(1)
    .max(max)
    .refine((items) => new Set(items).size === items.length, { error: 'the same thing stands there twice' })
    .meta({ description, 'x-kubernetes-list-type': 'set' });
}

/** Objects that differ in `keys`: a map, in the API server's word. */
export function mapOf<T extends z.ZodType<object>>(item: T, keys: readonly string[], max: number, description: string) {
  const keyOf = (value: object): string => JSON.stringify(keys.map((key) => Reflect.get(value, key)));
  return z
    .array(item)
    .max(max)
    .refine((items) => new Set(items.map(keyOf)).size === items.length, {
      error: `two have the same ${keys.join(', ')}`,
    })
    .meta({ description, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': keys });
}

export interface Rule<T> {
  /** CEL, for the API server. */
  readonly cel: string;
  /** The same in here. */
  readonly holds: (value: T) => boolean;
  readonly message: string;
}

/** What one field's bounds cannot say: written side by side in the two languages it is checked in. */
export function withRules<S extends z.ZodType>(schema: S, ...rules: readonly Rule<z.output<S>>[]) {
  const checked = rules.reduce<S>(
    (before, { holds, message }) => before.refine(holds, { error: message }) as S,
    schema,
  );
  return checked.meta({
    'x-kubernetes-validations': rules.map(({ cel, message }) => ({ rule: cel, message })),
  });
}
