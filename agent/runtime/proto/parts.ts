// How many parts a message has, counted on the wire before it is decoded: two bytes there are an object in memory.
import { type Definition, parseField } from './notation.ts';

/** Messages here stand in each other five deep at most. */
const MAX_DEPTH = 16;

/**
 * Whether there are more than `limit` fields of variable length in the message and the messages within it. Bytes that
 * are no message are not judged: the decoder refuses them. protobuf.dev, "Encoding".
 */
export function hasMoreParts(definition: Definition, message: string, raw: Uint8Array, limit: number): boolean {
  const counter: Counter = { definition, raw, left: limit, types: new Map() };
  count(counter, message, 0, raw.length, 0);
  return counter.left < 0;
}

interface Counter {
  readonly definition: Definition;
  readonly raw: Uint8Array;
  left: number;
  /** Field numbers to what stands in them, by message. */
  readonly types: Map<string, ReadonlyMap<number, string>>;
}

function count(counter: Counter, message: string, from: number, to: number, depth: number): void {
  const types = typesOf(counter, message);
  let at = from;
  while (at < to && counter.left >= 0) {
    const [tag, afterTag] = varint(counter.raw, at, to);
    at = afterTag;
    const wire = tag & 7;
    if (wire === 0) [, at] = varint(counter.raw, at, to);
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else if (wire !== 2) return;
    if (wire !== 2) continue;
    const [length, begin] = varint(counter.raw, at, to);
    if (begin + length > to) return;
    counter.left--;
    const inner = types.get(Math.floor(tag / 8));
    if (inner !== undefined && depth < MAX_DEPTH) count(counter, inner, begin, begin + length, depth + 1);
    at = begin + length;
  }
}

function typesOf({ definition, types }: Counter, message: string): ReadonlyMap<number, string> {
  const known = types.get(message);
  if (known !== undefined) return known;
  const found = new Map<number, string>();
  for (const text of Object.values(definition.messages[message] ?? {})) {
    const { rule, type, number } = parseField(text);
    // an entry of a map has its key and its value as fields of its own; its value's type is not looked into
    if (rule === 'map') found.set(number, MAP_ENTRY);
    else if (Object.hasOwn(definition.messages, type)) found.set(number, type);
  }
  types.set(message, found);
  return found;
}

const MAP_ENTRY = 'map entry';

/** The number at `at`, and where it ends; beyond the end where it does not. */
function varint(raw: Uint8Array, at: number, to: number): readonly [number, number] {
  let value = 0;
  let factor = 1;
  for (let next = at; next < to && next < at + 10; next++) {
    const byte = raw[next] ?? 0;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return [value, next + 1];
    factor *= 128;
  }
  return [0, Number.MAX_SAFE_INTEGER];
}
