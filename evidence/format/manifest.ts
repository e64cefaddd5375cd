// BagIt's tag files (RFC 8493) as pure functions of the chain up to its close entry.

import type { ChainEntry } from '../custody/chain-reader.ts';
import { ImpoundError } from '../errors.ts';
import { records } from './coverage.ts';
import { sha256 } from './digest.ts';
import { isRecord, type Statement } from './entry.ts';
import { BAG_INFO, BAGIT, entryPath, keyPath, MANIFEST, TAG_MANIFEST } from './layout.ts';

const BAGIT_TEXT = 'BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n';

/** What a payload file must be, by its path. */
export interface PayloadDigest {
  readonly path: string;
  readonly sha256: string;
  /** Bytes; unknown only for subjects of the grant. */
  readonly size?: number;
}

/** Every payload file that the chain names: the grant's subjects and all artefacts, by path. */
export function payloadDigests(statements: readonly Statement[]): readonly PayloadDigest[] {
  const granted = statements.flatMap(({ subject, predicate }) =>
    predicate.action === 'grant'
      ? subject
          .filter(({ name }) => name.startsWith('data/'))
          .map(({ name, digest }) => grantSubject(name, digest.sha256, predicate.details))
      : [],
  );
  const digests = [
    ...granted,
    ...records(statements).map(({ path, sha256: digest, size }) => ({ path, sha256: digest, size })),
  ];
  return digests.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function grantSubject(path: string, digest: string, details: Readonly<Record<string, unknown>>): PayloadDigest {
  const sizes = isRecord(details.sizes) ? details.sizes : {};
  const size = sizes[path];
  return { path, sha256: digest, ...(typeof size === 'number' ? { size } : {}) };
}

/** The four tag files, in the order in which they are written; throws `chain-broken` where there is no close entry. */
export function tagFiles(
  entries: readonly ChainEntry[],
  keyPem: ReadonlyMap<string, string>,
): ReadonlyMap<string, Buffer> {
  const closeIndex = entries.findIndex((entry) => entry.statement.predicate.action === 'close');
  const close = entries[closeIndex];
  if (close === undefined) {
    throw new ImpoundError('chain-broken', 'the chain has no close entry, so there is no manifest to be made of it', {
      operation: 'make manifest',
    });
  }
  const sealed = entries.slice(0, closeIndex + 1);
  const payload = payloadDigests(sealed.map((entry) => entry.statement));
  const manifest = Buffer.from(payload.map(({ path, sha256: digest }) => `${digest}  ${path}\n`).join(''));
  const info = bagInfo(close.statement, payload);
  const bagit = Buffer.from(BAGIT_TEXT);
  const tags: [string, string][] = [
    [BAG_INFO, sha256(info)],
    [BAGIT, sha256(bagit)],
    ...sealed.map((entry): [string, string] => [entryPath(entry.sequence), entry.sha256]),
    ...[...keyPem].map(([keyid, pem]): [string, string] => [keyPath(keyid), sha256(Buffer.from(pem))]),
    [MANIFEST, sha256(manifest)],
  ];
  const tagManifest = Buffer.from(
    tags
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([path, digest]) => `${digest}  ${path}\n`)
      .join(''),
  );
  return new Map([
    [BAGIT, bagit],
    [BAG_INFO, info],
    [MANIFEST, manifest],
    [TAG_MANIFEST, tagManifest],
  ]);
}

function bagInfo({ predicate }: Statement, payload: readonly PayloadDigest[]): Buffer {
  const bytes = payload.reduce((sum, { size }) => sum + (size ?? 0), 0);
  return Buffer.from(
    [
      `Bag-Software-Agent: ${String(predicate.details.software).replace(/[^\x20-\x7e]/g, '?')}`,
      `Bagging-Date: ${predicate.time.slice(0, 10)}`,
      `External-Identifier: ${predicate.bundle}`,
      `Payload-Oxum: ${bytes}.${payload.length}`,
      '',
    ].join('\n'),
  );
}

/** Lines of a manifest file; undefined where a line is not `sha256␠␠path`. */
export function parseManifest(text: string): ReadonlyMap<string, string> | undefined {
  const digests = new Map<string, string>();
  for (const line of text.split('\n').slice(0, -1)) {
    const match = /^([0-9a-f]{64}) {2}(.+)$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) return undefined;
    digests.set(match[2], match[1]);
  }
  return text.endsWith('\n') || text === '' ? digests : undefined;
}
