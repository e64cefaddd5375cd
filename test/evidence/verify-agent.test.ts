// What an agent was wrong about when it sent it is said, and breaks nothing; what was altered since is found out as ever.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { sha256 } from '../../evidence/format/digest.ts';
import { type Actor, endBundle, verifyBundle } from '../../evidence/index.ts';
import { beginEmpty } from '../helpers/bundle.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const AGENT: Actor = { kind: 'agent', name: 'system:serviceaccount:impound-system:impound-agent', node: 'node1' };
const PERSON: Actor = { kind: 'person', name: 'tester' };
const BIG = 'data/10-process/big.bin';
const BROKEN = 'data/10-process/broken.tar';

/** A sealed bundle with an object of two parts whose digest as a whole is made up, and a .tar that is none. */
async function lyingBundle(folder: string, actor: Actor) {
  const { path, store, custody, chain } = await beginEmpty(folder);
  const parts = [Buffer.alloc(1000, 1), Buffer.alloc(500, 2)];
  const common = { collector: 'processes', session: 1, source: 'a test', begun: '', ended: '' };
  const [big, broken] = [await store.put(BIG, Buffer.concat(parts)), await store.put(BROKEN, Buffer.alloc(1024, 3))];
  const artefacts = [
    {
      ...{ path: BIG, ...big, ...common, sha256: sha256(Buffer.from('something else')) },
      parts: parts.map((bytes) => ({ size: bytes.length, sha256: sha256(bytes) })),
    },
    { path: BROKEN, ...broken, ...common },
  ];
  const subjects = artefacts.map(({ path: name, sha256: digest }) => ({ name, digest: { sha256: digest } }));
  await chain.append('collect', { artefacts }, { actor, subjects });
  await endBundle(custody, chain, { outcome: 'complete' });
  return { path, store };
}

test('a node that was wrong about its own evidence does not break the bundle', async (t) => {
  const { store } = await lyingBundle(await temporaryFolder(t), AGENT);
  const { verdict, findings, warnings } = await verifyBundle(store);
  assert.deepEqual([verdict, findings], ['intact', []]);
  assert.deepEqual(warnings.map(({ code, path }) => [code, path]).sort(), [
    ['agent-untrue', BIG],
    ['agent-untrue', BROKEN],
  ]);
});

test('the same by whoever read and stored it himself is a finding', async (t) => {
  const { store } = await lyingBundle(await temporaryFolder(t), PERSON);
  const { verdict, findings } = await verifyBundle(store);
  assert.equal(verdict, 'not intact');
  assert.deepEqual(findings.map(({ code }) => code).sort(), ['archive-altered', 'payload-altered']);
});

for (const changed of [BIG, BROKEN]) {
  test(`a byte of ${changed} that is changed later is found out`, async (t) => {
    const { path, store } = await lyingBundle(await temporaryFolder(t), AGENT);
    const file = join(path, changed);
    const bytes = await readFile(file);
    bytes[700] = 9;
    await writeFile(file, bytes);
    const { verdict, findings } = await verifyBundle(store);
    assert.equal(verdict, 'not intact');
    assert.ok(findings.some((finding) => finding.code === 'payload-altered' && finding.path === changed));
  });
}

test('bytes added behind the last part are found out', async (t) => {
  const { path, store } = await lyingBundle(await temporaryFolder(t), AGENT);
  await writeFile(join(path, BIG), 'more', { flag: 'a' });
  assert.equal((await verifyBundle(store)).verdict, 'not intact');
});
