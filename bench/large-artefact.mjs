// Stores one large artefact with the build in dist/ and verifies the bundle: large-artefact.mjs FOLDER GIBIBYTES.
// Plain JavaScript, since the memory of this process is measured and type stripping has some 40 MB of its own.
import { generateKeyPairSync, randomFillSync } from 'node:crypto';
import { join } from 'node:path';
import { boundMemory, saveMemory } from '../dist/capture/memory.js';
import { signerOf } from '../dist/evidence/custody/key.js';
import {
  beginBundle,
  bundleId,
  DirectoryStore,
  endBundle,
  LocalCustodian,
  systemClock,
  tarArchive,
  verifyBundle,
  zstdCompress,
} from '../dist/evidence/index.js';

// as the agent, and the CLI for all profiles but quick, which have artefacts of such a size
boundMemory();
saveMemory();
const [, , folder = '', gibibytes = '1'] = process.argv;
const size = Number(gibibytes) * 1024 ** 3;
const CHUNK = 256 * 1024;
// half zeros, half noise
const pattern = randomFillSync(Buffer.alloc(4 * 1024 * 1024)).fill(0, 0, 2 * 1024 * 1024);

async function* bytes() {
  for (let given = 0; given < size; given += CHUNK) {
    const start = given % pattern.length;
    yield Buffer.from(pattern.subarray(start, start + CHUNK));
  }
}

const bundle = bundleId(new Date());
const store = new DirectoryStore({ root: join(folder, bundle), partial: join(folder, '.partial', bundle) });
await store.prepare();
const signer = signerOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const custody = {
  store,
  signer,
  actor: { kind: 'person', name: 'bench' },
  clock: systemClock,
  software: 'Impound bench',
};
const chain = await beginBundle(custody, { bundle, requestedBy: 'bench', node: 'here', profile: 'quick' });
const custodian = new LocalCustodian({ store, chain, clock: systemClock });
const writer = await custodian.open({
  path: 'data/60-file/large.tar.zst',
  collector: 'bench',
  session: 1,
  source: 'memory',
});
const compressed = zstdCompress(tarArchive([{ name: 'large', content: { size, bytes: bytes() } }]));
for await (const chunk of compressed) await writer.write(chunk);
await writer.close({ contentSize: compressed.contentSize });
await custodian.flush();
await endBundle(custody, chain, { outcome: 'complete' });
const { verdict } = await verifyBundle(store);
if (verdict !== 'intact') throw new Error(`the bundle is ${verdict}`);
