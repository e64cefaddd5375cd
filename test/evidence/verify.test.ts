// The chain is proof: whatever is done to a sealed bundle, verify names it.
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { appendFile, cp, mkdir, readdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { keyidOf, parsePublicKey, publicPem } from '../../evidence/custody/key.ts';
import { sha256 } from '../../evidence/format/digest.ts';
import { encodeEnvelope, parseEnvelope, signedBytes } from '../../evidence/format/envelope.ts';
import { canonicalSignature } from '../../evidence/format/signature.ts';
import { DirectoryStore, ImpoundError, readChain, type VerifyReport, verifyBundle } from '../../evidence/index.ts';
import { type MadeBundle, makeBundle } from '../helpers/bundle.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const RUNS = 150;

test('an untouched bundle is intact, also with its key and its head given', async (t) => {
  const made = await makeBundle(await temporaryFolder(t));
  const trusted = [parsePublicKey(made.custody.signer.publicKeyPem, 'key')];
  const report = await verifyBundle(made.store, { trusted, head: made.head });
  assert.deepEqual(report.findings, []);
  assert.deepEqual(report.warnings, []);
  assert.equal(report.verdict, 'intact');
  assert.equal(report.signer.trusted, true);
  assert.deepEqual(report.head, made.head);
});

test('without a trusted key the verdict says that the signer was not checked', async (t) => {
  const made = await makeBundle(await temporaryFolder(t));
  const report = await verifyBundle(made.store);
  assert.equal(report.verdict, 'intact');
  assert.equal(report.signer.trusted, false);
});

test('random tampering with any file is named', async (t) => {
  const folder = await temporaryFolder(t);
  const made = await makeBundle(join(folder, 'store'));
  const files = await allFiles(made.path);
  let copies = 0;
  const tampered = fc.asyncProperty(
    fc.constantFrom(...files),
    fc.constantFrom(...files),
    fc.constantFrom('flip', 'drop', 'add', 'swap', 'truncate', 'append', 'duplicate', 'rename', 'link'),
    fc.nat(),
    fc.integer({ min: 1, max: 255 }),
    async (file, other, kind, position, mask) => {
      const copy = join(folder, `copy${copies++}`);
      await cp(made.path, copy, { recursive: true });
      const touched = await tamper(copy, { file, other, kind, position, mask });
      const report = await verify(copy);
      if (touched.length === 0) assert.equal(report.verdict, 'intact');
      for (const path of touched) assertNames(report, path, kind);
      await rm(copy, { recursive: true });
    },
  );
  await fc.assert(tampered, { numRuns: RUNS });
});

interface Tampering {
  readonly file: string;
  readonly other: string;
  readonly kind: string;
  readonly position: number;
  readonly mask: number;
}

/** Does it, and returns the files that verify must name: none where nothing changed. */
async function tamper(copy: string, { file, other, kind, position, mask }: Tampering): Promise<readonly string[]> {
  const bytes = await readFile(join(copy, file));
  const target = `data/00-meta/planted-${position % 10}.bin`;
  switch (kind) {
    case 'flip':
      if (bytes.length === 0) return [];
      bytes.writeUInt8(bytes.readUInt8(position % bytes.length) ^ mask, position % bytes.length);
      await writeFile(join(copy, file), bytes);
      return [file];
    case 'drop':
      await rm(join(copy, file));
      return [file];
    case 'add':
      await mkdir(dirname(join(copy, target)), { recursive: true });
      await writeFile(join(copy, target), 'planted');
      return [target];
    case 'swap': {
      const others = await readFile(join(copy, other));
      if (others.equals(bytes)) return [];
      await writeFile(join(copy, file), others);
      await writeFile(join(copy, other), bytes);
      return [file, other];
    }
    case 'truncate':
      if (bytes.length === 0) return [];
      await truncate(join(copy, file), position % bytes.length);
      return [file];
    case 'append':
      await appendFile(join(copy, file), Buffer.from([mask]));
      return [file];
    case 'duplicate':
      await mkdir(dirname(join(copy, target)), { recursive: true });
      await cp(join(copy, file), join(copy, target));
      return [target];
    case 'rename':
      await rename(join(copy, file), join(copy, `${file}.old`));
      return [file, `${file}.old`];
    default:
      await rm(join(copy, file));
      await symlink('/etc/passwd', join(copy, file));
      return [file];
  }
}

/** The seal is the chain's last entry: a bundle from which it was taken is one that was never sealed. */
function assertNames(report: VerifyReport, path: string, kind: string): void {
  assert.notEqual(report.verdict, 'intact', `${kind} ${path} went unnoticed`);
  const named = [...report.findings, ...report.unchecked].some((finding) => finding.path === path);
  const gone = ['drop', 'rename'].includes(kind);
  const unsealed = gone && path === `custody/${String(report.entries).padStart(6, '0')}.dsse.json`;
  assert.ok(named || unsealed, `${kind} ${path} is not named: ${JSON.stringify(report.findings)}`);
}

test('manifest and tag manifest edited so that they agree with an altered file are named', async (t) => {
  const made = await makeBundle(await temporaryFolder(t));
  const path = 'data/10-process/processes.jsonl';
  await editConsistently(made.path, path);
  const report = await verify(made.path);
  assert.equal(report.verdict, 'not intact');
  assert.deepEqual(report.findings.map((finding) => finding.path).sort(), [
    path,
    'manifest-sha256.txt',
    'tagmanifest-sha256.txt',
  ]);
});

async function editConsistently(bundle: string, path: string): Promise<void> {
  const before = await readFile(join(bundle, path));
  const after = Buffer.concat([before.subarray(1), before.subarray(0, 1)]);
  await writeFile(join(bundle, path), after);
  const manifest = await readFile(join(bundle, 'manifest-sha256.txt'), 'utf8');
  const edited = manifest.replace(sha256(before), sha256(after));
  await writeFile(join(bundle, 'manifest-sha256.txt'), edited);
  const tags = await readFile(join(bundle, 'tagmanifest-sha256.txt'), 'utf8');
  await writeFile(
    join(bundle, 'tagmanifest-sha256.txt'),
    tags.replace(sha256(Buffer.from(manifest)), sha256(Buffer.from(edited))),
  );
}

test('the last entries removed are seen with --head, and without it the bundle is not intact', async (t) => {
  const folder = await temporaryFolder(t);
  const made = await makeBundle(join(folder, 'store'));
  for (let cut = 1; cut <= made.head.sequence; cut++) {
    const copy = join(folder, `cut${cut}`);
    await cp(made.path, copy, { recursive: true });
    for (let sequence = made.head.sequence; sequence > made.head.sequence - cut; sequence--) {
      await rm(join(copy, `custody/${String(sequence).padStart(6, '0')}.dsse.json`));
    }
    const report = await verifyBundle(openCopy(copy), { head: made.head });
    assert.ok(
      report.findings.some(({ code }) => code === 'head-missing'),
      `${cut} entries cut`,
    );
    assert.notEqual((await verify(copy)).verdict, 'intact');
  }
});

test('a chain signed anew as a whole by another key passes without --key, and fails with it', async (t) => {
  const made = await makeBundle(await temporaryFolder(t));
  const trusted = [parsePublicKey(made.custody.signer.publicKeyPem, 'key')];
  await resign(made);
  assert.equal((await verify(made.path)).verdict, 'intact');
  const report = await verifyBundle(openCopy(made.path), { trusted });
  assert.equal(report.verdict, 'not intact');
  assert.ok(report.findings.some(({ code, path }) => code === 'signer-unknown' && path === 'custody/000000.dsse.json'));
});

/** What the store's administrator could do: every entry, manifest and seal made again with a key of their own. */
async function resign(made: MadeBundle): Promise<void> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const publicKey = createPublicKey(privateKey);
  const keyid = keyidOf(publicKey);
  const custody = join(made.path, 'custody');
  await rm(join(custody, 'keys', `${made.custody.signer.keyid}.pem`));
  await writeFile(join(custody, 'keys', `${keyid}.pem`), publicPem(publicKey));
  let previous: string | null = null;
  const digests = new Map<string, string>();
  for (const { sequence, statement } of await readChain(made.store)) {
    const name = `custody/${String(sequence).padStart(6, '0')}.dsse.json`;
    const subject = statement.subject.map((each) => ({
      ...each,
      digest: { sha256: digests.get(each.name) ?? each.digest.sha256 },
    }));
    if (statement.predicate.action === 'seal') {
      const path = join(made.path, 'tagmanifest-sha256.txt');
      let tags = await readFile(path, 'utf8');
      for (const [file, digest] of digests)
        tags = tags.replace(new RegExp(`^[0-9a-f]{64} {2}${file}$`, 'm'), `${digest}  ${file}`);
      tags = tags.replace(
        /^[0-9a-f]{64} {2}custody\/keys.*$/m,
        `${sha256(Buffer.from(publicPem(publicKey)))}  custody/keys/${keyid}.pem`,
      );
      await writeFile(path, tags);
      subject.splice(1, 1, { name: 'tagmanifest-sha256.txt', digest: { sha256: sha256(Buffer.from(tags)) } });
    }
    const again = { ...statement, subject, predicate: { ...statement.predicate, previous } };
    const payload = Buffer.from(JSON.stringify(again));
    const bytes = envelopeBy(privateKey, payload);
    await writeFile(join(made.path, name), bytes);
    previous = sha256(bytes);
    digests.set(name, previous);
  }
}

function envelopeBy(privateKey: KeyObject, payload: Buffer): Buffer {
  const signature = canonicalSignature(sign('sha256', signedBytes(payload), privateKey));
  return encodeEnvelope({ payload, keyid: keyidOf(createPublicKey(privateKey)), signature });
}

test('one entry signed anew by another key is named', async (t) => {
  const made = await makeBundle(await temporaryFolder(t));
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const path = 'custody/000002.dsse.json';
  const { payload } = parseEnvelope(await readFile(join(made.path, path)), path);
  const bytes = envelopeBy(privateKey, payload);
  await writeFile(join(made.path, path), bytes);
  const report = await verify(made.path);
  assert.ok(report.findings.some(({ code, path: named }) => code === 'signer-unknown' && named === path));
});

test('an unsealed bundle says so, and what no entry names is uncommitted there', async (t) => {
  const made = await makeBundle(await temporaryFolder(t), undefined, { seal: false });
  await mkdir(join(made.path, 'data/70-log'));
  await writeFile(join(made.path, 'data/70-log/late.txt'), 'stored, not yet on the chain');
  const report = await verify(made.path);
  assert.equal(report.verdict, 'unsealed');
  assert.deepEqual(
    report.warnings.map(({ code, path }) => [code, path]),
    [['uncommitted', 'data/70-log/late.txt']],
  );
});

test('what is no bundle is refused with a code', async (t) => {
  const folder = await temporaryFolder(t);
  await assert.rejects(verify(folder), (error) => error instanceof ImpoundError && error.code === 'not-a-bundle');
});

test('an entry of 50 MB is refused unread', async (t) => {
  const made = await makeBundle(await temporaryFolder(t));
  await writeFile(join(made.path, 'custody/000001.dsse.json'), Buffer.alloc(50_000_000, 32));
  const before = process.memoryUsage().rss;
  const report = await verify(made.path);
  assert.ok(report.findings.some(({ code, path }) => code === 'entry-altered' && path === 'custody/000001.dsse.json'));
  assert.ok(process.memoryUsage().rss - before < 40_000_000);
});

test('names that could lead out of the bundle are named and never opened', async (t) => {
  const made = await makeBundle(await temporaryFolder(t));
  await appendFile(
    join(made.path, 'manifest-sha256.txt'),
    `${'0'.repeat(64)}  ../../outside\n${'0'.repeat(64)}  /etc/passwd\n`,
  );
  await writeFile(join(made.path, 'data/00-meta/with\nnewline'), 'x');
  await rename(join(made.path, 'data/50-kernel'), join(made.path, '../elsewhere'));
  await symlink('../elsewhere', join(made.path, 'data/50-kernel'));
  const report = await verify(made.path);
  const named = new Set(report.findings.map(({ code, path }) => `${code} ${path}`));
  assert.ok(named.has('tag-altered manifest-sha256.txt'));
  assert.ok(named.has('outside-layout data/00-meta/with\nnewline'));
  assert.ok(named.has('not-a-file data/50-kernel'));
  assert.ok(named.has('payload-missing data/50-kernel/empty.txt'));
  await assert.rejects(openCopy(made.path).size('data/50-kernel/../../../x'), { code: 'path-invalid' });
  assert.equal(await openCopy(made.path).size('data/50-kernel/empty.txt'), undefined);
});

function verify(path: string): Promise<VerifyReport> {
  return verifyBundle(openCopy(path));
}

function openCopy(path: string): DirectoryStore {
  return new DirectoryStore({ root: path, partial: `${path}.partial` });
}

async function allFiles(bundle: string): Promise<readonly string[]> {
  const found = await readdir(bundle, { recursive: true, withFileTypes: true });
  return found.filter((item) => item.isFile()).map((item) => join(item.parentPath, item.name).slice(bundle.length + 1));
}
