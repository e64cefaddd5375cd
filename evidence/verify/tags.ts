// Question five: are the manifests what the chain makes of itself, and does the seal stand over them?
import type { ChainEntry } from '../custody/chain-reader.ts';
import { describeError } from '../errors.ts';
import { sha256 } from '../format/digest.ts';
import { BAG_INFO, BAGIT, entryPath, MANIFEST, TAG_MANIFEST } from '../format/layout.ts';
import { parseManifest, tagFiles } from '../format/manifest.ts';
import { readWhole, type Store } from '../store/store.ts';
import type { CheckedChain } from './chain.ts';
import type { Findings } from './report.ts';

/** A manifest of a million artefacts. */
const MAX_TAG_BYTES = 256 * 1024 * 1024;

export async function checkTags(
  store: Store,
  files: ReadonlyMap<string, number>,
  chain: CheckedChain,
  report: Findings,
): Promise<void> {
  const closeIndex = chain.entries.findIndex((entry) => entry.statement.predicate.action === 'close');
  if (closeIndex === -1) {
    for (const path of [BAGIT, BAG_INFO, MANIFEST, TAG_MANIFEST]) {
      if (files.has(path))
        report.add('tag-added', path, 'it stands there and the chain has no close entry: its tail was cut off');
    }
    if (chain.sealed) report.add('seal-altered', MANIFEST, 'the chain is sealed without a close entry');
    return;
  }
  const signers = new Set(chain.entries.slice(0, closeIndex + 1).map((entry) => entry.envelope.keyid));
  const keys = new Map([...chain.keys].filter(([keyid]) => signers.has(keyid)));
  const expected = tagFiles(chain.entries, keys);
  // what the chain makes of itself is exact only where no entry up to the close, and no key, is missing
  const whole = chain.entries[closeIndex]?.sequence === closeIndex && keys.size === signers.size;
  for (const [path, bytes] of expected) await checkTag(store, files, path, bytes, { ...chain, whole }, report);
  if (whole) checkSeal(chain.entries, expected, report);
}

async function checkTag(
  store: Store,
  files: ReadonlyMap<string, number>,
  path: string,
  expected: Buffer,
  chain: CheckedChain & { readonly whole: boolean },
  report: Findings,
): Promise<void> {
  if (!files.has(path)) {
    if (chain.sealed) report.add('tag-missing', path, 'the bag is not complete without it');
    return;
  }
  let found: Buffer;
  try {
    found = await readWhole(store, path, MAX_TAG_BYTES);
  } catch (error) {
    report.skip(path, describeError(error));
    return;
  }
  if (found.equals(expected) || (!chain.whole && (await isSealedAs(store, chain.entries, path, found)))) return;
  report.add('tag-altered', path, `it is not what the chain makes it${difference(path, expected, found)}`, {
    expected: sha256(expected),
    found: sha256(found),
  });
}

/** Where an entry is missing, the seal still tells whether the manifests are the sealed ones, and they the rest. */
async function isSealedAs(store: Store, entries: readonly ChainEntry[], path: string, found: Buffer): Promise<boolean> {
  const seal = entries.find((entry) => entry.statement.predicate.action === 'seal');
  const sealed = (name: string): string | undefined =>
    seal?.statement.subject.find((subject) => subject.name === name)?.digest.sha256;
  if (path === MANIFEST || path === TAG_MANIFEST) return sealed(path) === sha256(found);
  const tags = await readWhole(store, TAG_MANIFEST, MAX_TAG_BYTES).catch(() => undefined); // its absence is a finding
  if (tags === undefined || sealed(TAG_MANIFEST) !== sha256(tags)) return false;
  return parseManifest(tags.toString('utf8'))?.get(path) === sha256(found);
}

/** Which lines differ, for the manifests. */
function difference(path: string, expected: Buffer, found: Buffer): string {
  if (path !== MANIFEST && path !== TAG_MANIFEST) return '';
  const should = parseManifest(expected.toString('utf8')) ?? new Map<string, string>();
  const is = parseManifest(found.toString('utf8'));
  if (is === undefined) return ': it has a line that is not a digest and a path';
  const names = [
    ...[...should]
      .filter(([name, digest]) => is.get(name) !== digest)
      .map(([name]) => `${is.has(name) ? 'changed' : 'missing'} ${name}`),
    ...[...is.keys()].filter((name) => !should.has(name)).map((name) => `added ${name}`),
  ];
  return names.length === 0
    ? ''
    : `: ${names.slice(0, 5).join(', ')}${names.length > 5 ? ` and ${names.length - 5} more` : ''}`;
}

function checkSeal(entries: readonly ChainEntry[], expected: ReadonlyMap<string, Buffer>, report: Findings): void {
  const seal = entries.find((entry) => entry.statement.predicate.action === 'seal');
  if (seal === undefined) return;
  for (const path of [MANIFEST, TAG_MANIFEST]) {
    const digest = seal.statement.subject.find(({ name }) => name === path)?.digest.sha256;
    const made = sha256(expected.get(path) ?? Buffer.alloc(0));
    if (digest === made) continue;
    report.add(
      'seal-altered',
      entryPath(seal.sequence),
      `what it seals as ${path} is not what the chain makes of itself`,
      {
        expected: digest ?? 'nothing',
        found: made,
      },
    );
  }
}
