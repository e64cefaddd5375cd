// Names inside an archive: what every tar reader takes, each of them once, and the host's exact bytes beside them.
import { utf8OrUndefined } from '../format/json.ts';

/** Name of the last member of every archive: one JSON line a member, in order. */
export const INNER_MANIFEST = 'MANIFEST.jsonl';

/** Most names are plain; only the others are worth a closer look. */
const PLAIN = /^(?:[A-Za-z0-9_+:=-][A-Za-z0-9_.+:=-]*\/)*[A-Za-z0-9_+:=-][A-Za-z0-9_.+:=-]*$/;

/** Gives out member names: two host names may escape to one, and a host file may be called like the inner manifest. */
export class MemberNames {
  readonly #taken = new Set<string>([INNER_MANIFEST]);

  take(raw: Uint8Array | string): string {
    const name = memberName(raw);
    let candidate = name;
    for (let number = 2; this.#taken.has(candidate); number++) candidate = `${name}%${number}`;
    this.#taken.add(candidate);
    return candidate;
  }
}

/** Base64 of the host's name, where the member's is not just that. */
export function exactName(raw: Uint8Array | string, path: string): string | undefined {
  const bytes = Buffer.from(raw);
  return bytes.equals(Buffer.from(path)) ? undefined : bytes.toString('base64');
}

/** A link's target as text, and exactly where it is not UTF-8. tar-stream takes an empty one for still to be written. */
export function linkText(raw: Uint8Array | string): { readonly text: string; readonly base64?: string } {
  if (raw.length === 0) return { text: '%', base64: '' };
  if (typeof raw === 'string') return { text: raw };
  const text = utf8OrUndefined(raw);
  return text === undefined ? { text: escapeInvalid(raw), base64: Buffer.from(raw).toString('base64') } : { text };
}

/** Relative, no empty or dot segments, no control bytes, valid UTF-8. */
function memberName(raw: Uint8Array | string): string {
  if (typeof raw === 'string' && PLAIN.test(raw)) return raw;
  const bytes = Buffer.from(raw);
  const text = utf8OrUndefined(bytes) ?? escapeInvalid(bytes);
  const segments = text
    .replace(/[\u0000-\u001f\u007f]/g, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
    .split('/')
    .filter((segment) => segment !== '' && segment !== '.')
    .map((segment) => (segment === '..' ? '%2e%2e' : segment));
  return segments.length === 0 ? '%' : segments.join('/');
}

function escapeInvalid(raw: Uint8Array): string {
  let text = '';
  for (const byte of raw) text += byte < 0x80 ? String.fromCharCode(byte) : `%${byte.toString(16)}`;
  return text;
}
