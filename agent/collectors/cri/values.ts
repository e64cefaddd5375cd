// Values of a runtime's answers as a table has them: times, numbers, JSON within text.
import { jsonOf } from '../../runtime/grpc-json.ts';
import { numberAt } from '../../runtime/json.ts';

/** Nanoseconds since the epoch as ISO 8601; undefined for 0, which stands for "never". */
export function isoTime(nanoseconds: string): string | undefined {
  const time = BigInt(nanoseconds);
  if (time <= 0n || time >= MAX_NANOSECONDS) return undefined;
  const whole = new Date(Number(time / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  return `${whole}.${String(time % 1_000_000_000n).padStart(9, '0')}Z`;
}

const MAX_NANOSECONDS = 253_402_300_800_000_000_000n; // the year 10000

/** Verbose information: a map of names to JSON or any text, each parsed where it is JSON. */
export function verbose(info: Readonly<Record<string, string>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(info).map(([name, text]) => [name, jsonOf(text) ?? text]));
}

export function pidAt(value: unknown, ...keys: readonly string[]): number | undefined {
  const found = numberAt(value, ...keys) ?? 0;
  return Number.isSafeInteger(found) && found > 0 ? found : undefined;
}

/** Undefined for what proto3 has no value for. */
export function given(text: string): string | undefined {
  return text === '' ? undefined : text;
}

/**
 * Statistics as numbers: a wrapped value (`{value: "5"}`) is the value, what was not measured is left out, times are
 * ISO 8601. Numbers beyond 2^53 stay text.
 */
export function measured(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(measured);
  if (typeof value !== 'object' || value === null) return value ?? undefined;
  const entries = Object.entries(value);
  const [first] = entries;
  if (entries.length === 1 && first?.[0] === 'value') return number(first[1]);
  return Object.fromEntries(
    entries.map(([name, inner]) => [
      name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      name === 'timestamp' && typeof inner === 'string' ? isoTime(inner) : measured(inner),
    ]),
  );
}

export function number(value: unknown): unknown {
  const found = Number(value);
  return Number.isSafeInteger(found) ? found : value;
}
