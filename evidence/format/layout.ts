// Which paths a bundle may have, and what each is called. No I/O.
import { ImpoundError } from '../errors.ts';

export const BAGIT = 'bagit.txt';
export const BAG_INFO = 'bag-info.txt';
export const MANIFEST = 'manifest-sha256.txt';
export const TAG_MANIFEST = 'tagmanifest-sha256.txt';
export const REQUEST = 'data/00-meta/request.json';
export const COVERAGE = 'data/00-meta/coverage.json';
export const GAPS = 'data/00-meta/gaps.jsonl';
export const FOOTPRINT = 'data/00-meta/footprint.json';

/** Ends the path of an encrypted artefact. */
export const ENCRYPTED = '.age';

/** The first folder below data/ of every artefact, in order of the table in the bundle format. */
export const DATA_FOLDERS = [
  '00-meta',
  '10-process',
  '20-network',
  '30-container',
  '40-memory',
  '50-kernel',
  '60-file',
  '70-log',
  '80-disk',
  '90-cloud',
  '95-kubernetes',
] as const;

const SEGMENT = /^[A-Za-z0-9._-]{1,200}$/;
const MAX_PATH = 800;

/** Relative, segments of [A-Za-z0-9._-], none of them "." or "..": what every foreign tool reads the same way. */
export function isBundlePath(path: string): boolean {
  return path.length <= MAX_PATH && path.split('/').every(isSegment);
}

function isSegment(segment: string): boolean {
  return SEGMENT.test(segment) && segment !== '.' && segment !== '..';
}

export function assertBundlePath(path: string, operation: string): void {
  if (isBundlePath(path)) return;
  throw new ImpoundError(
    'path-invalid',
    `"${printable(path)}" is not a bundle path: use letters, digits, ".", "_", "-"`,
    {
      operation,
      thing: path,
    },
  );
}

/** A case or cluster name, which becomes one segment of the bundle's prefix. */
export function assertName(name: string, what: string): void {
  if (isSegment(name)) return;
  throw new ImpoundError('usage', `${what} "${printable(name)}" may only have letters, digits, ".", "_" and "-"`, {
    operation: 'read arguments',
    thing: name,
  });
}

function printable(text: string): string {
  return JSON.stringify(text.slice(0, 200)).slice(1, -1);
}

/** `<cluster or "local">/<case or "no-case">/<bundle id>` */
export function bundlePrefix(cluster: string | undefined, caseId: string | undefined, bundle: string): string {
  return `${cluster ?? 'local'}/${caseId ?? 'no-case'}/${bundle}`;
}

/** A later session's try of an artefact gets its number before the first dot: `proc.2.tar.zst`. */
export function sessionPath(path: string, session: number): string {
  if (session === 1) return path;
  const slash = path.lastIndexOf('/') + 1;
  const dot = path.indexOf('.', slash);
  return dot === -1 ? `${path}.${session}` : `${path.slice(0, dot)}.${session}${path.slice(dot)}`;
}

export function entryPath(sequence: number): string {
  return `custody/${String(sequence).padStart(6, '0')}.dsse.json`;
}

/** The RFC 3161 token over an entry's stored bytes. */
export function timestampPath(sequence: number): string {
  return `custody/${String(sequence).padStart(6, '0')}.tsr`;
}

export function keyPath(keyid: string): string {
  return `custody/keys/${keyid}.pem`;
}

/** What a path inside a bundle is, or undefined where it lies outside the layout. */
export type LayoutKind =
  | { readonly kind: 'tag'; readonly name: string }
  | { readonly kind: 'entry'; readonly sequence: number }
  | { readonly kind: 'timestamp'; readonly sequence: number }
  | { readonly kind: 'key'; readonly keyid: string }
  | { readonly kind: 'payload' };

const TAGS: readonly string[] = [BAGIT, BAG_INFO, MANIFEST, TAG_MANIFEST];

export function layoutOf(path: string): LayoutKind | undefined {
  if (!isBundlePath(path)) return undefined;
  if (TAGS.includes(path)) return { kind: 'tag', name: path };
  const entry = /^custody\/(\d{6})\.(dsse\.json|tsr)$/.exec(path);
  if (entry !== null) return { kind: entry[2] === 'tsr' ? 'timestamp' : 'entry', sequence: Number(entry[1]) };
  const key = /^custody\/keys\/([0-9a-f]{64})\.pem$/.exec(path);
  if (key?.[1] !== undefined) return { kind: 'key', keyid: key[1] };
  const [top, folder, name] = path.split('/');
  const known = DATA_FOLDERS.some((candidate) => candidate === folder);
  return top === 'data' && known && name !== undefined ? { kind: 'payload' } : undefined;
}
