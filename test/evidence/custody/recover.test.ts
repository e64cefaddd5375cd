// A crash at any step of a capture leaves a bundle that verifies as far as it goes, and that seal finishes.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parsePublicKey } from '../../../evidence/custody/key.ts';
import {
  DirectoryStore,
  ImpoundError,
  readChain,
  readWhole,
  records,
  recoverBundle,
  type Store,
  verifyBundle,
} from '../../../evidence/index.ts';
import type { ObjectWriter } from '../../../evidence/store/store.ts';
import { custodyOf, makeBundle, newSigner, openStore, sampleCollectors } from '../../helpers/bundle.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

class Crash extends Error {}

/** A store that stops working at its n-th step, before or after that step had its effect: then nothing works any more. */
class CrashingStore extends DirectoryStore {
  #left: number;
  readonly #writers: ObjectWriter[] = [];

  constructor(options: { root: string; partial: string }, steps: number) {
    super(options);
    this.#left = steps;
  }

  override async put(path: string, bytes: Uint8Array) {
    this.#step();
    const stored = await super.put(path, bytes);
    this.#step();
    return stored;
  }

  override async create(path: string) {
    this.#step();
    const writer = await super.create(path);
    this.#writers.push(writer);
    return {
      write: async (chunk: Uint8Array) => {
        this.#step();
        await writer.write(chunk);
      },
      commit: async () => {
        this.#step();
        return writer.commit();
      },
      abandon: async () => {
        // a process that is gone gives nothing up
      },
    };
  }

  /** What the end of the process does to its open files. */
  async letGo(): Promise<void> {
    for (const writer of this.#writers) await writer.abandon();
  }

  #step(): void {
    if (this.#left-- <= 0) throw new Crash();
  }
}

test('a crash before or after any step leaves what verifies, and seal finishes it without changing what is stored', async (t) => {
  const folder = await temporaryFolder(t);
  const signer = newSigner();
  const trusted = [parsePublicKey(signer.publicKeyPem, 'key')];
  const endings = new Map<string, number>();
  for (let steps = 0; ; steps++) {
    const storeRoot = join(folder, String(steps));
    let prefix = '';
    let crashing: CrashingStore | undefined;
    const open = (root: string, name: string): DirectoryStore => {
      prefix = name;
      crashing = new CrashingStore(
        { root: join(root, name), partial: join(root, '.partial', name.split('/').at(-1) ?? '') },
        steps,
      );
      return crashing;
    };
    const crashed = await makeBundle(storeRoot, sampleCollectors, { signer, open }).then(
      () => false,
      () => true,
    );
    const store = openStore(storeRoot, prefix);
    const before = await digests(join(storeRoot, prefix));
    const verdict = await verifyBundle(store, { trusted }).then(
      (report) => {
        assert.deepEqual(report.findings, [], `after ${steps} steps`);
        return report.verdict;
      },
      (error: unknown) => (error instanceof ImpoundError ? error.code : 'threw'),
    );
    endings.set(verdict, (endings.get(verdict) ?? 0) + 1);
    if (!crashed) {
      await crashing?.letGo();
      break;
    }
    if (verdict === 'unsealed') {
      await recoverBundle(custodyOf(store, signer));
      const report = await verifyBundle(openStore(storeRoot, prefix), { trusted });
      assert.deepEqual(report.findings, [], `sealed after ${steps} steps`);
      assert.equal(report.verdict, 'intact');
    }
    const after = await digests(join(storeRoot, prefix));
    await crashing?.letGo();
    for (const [path, digest] of before) assert.equal(after.get(path), digest, `${path} changed after ${steps} steps`);
  }
  assert.ok((endings.get('unsealed') ?? 0) > 20, JSON.stringify([...endings]));
  assert.ok((endings.get('not-a-bundle') ?? 0) > 0);
});

async function digests(folder: string): Promise<ReadonlyMap<string, string>> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  const found = files.filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name));
  const pairs = await Promise.all(
    found.map(
      async (file): Promise<[string, string]> => [
        file,
        createHash('sha256')
          .update(await readFile(file))
          .digest('hex'),
      ],
    ),
  );
  return new Map(pairs);
}

test('what was half-written is kept as truncated, what no entry names is read back, and coverage says what did not end', async (t) => {
  const folder = await temporaryFolder(t);
  const made = await makeBundle(folder, sampleCollectors, { seal: false });
  const half = await made.store.create('data/70-log/half.log.zst');
  await half.write(Buffer.from('as far as it came'));
  await made.store.put('data/70-log/whole.log', Buffer.from('not on the chain yet'));
  const store: Store = openStore(folder, made.path.slice(folder.length + 1));
  await recoverBundle({ ...made.custody, store });
  await half.abandon();
  const statements = (await readChain(store)).map(({ statement }) => statement);
  const recovered = records(statements).filter((record) => record.recovered);
  assert.deepEqual(
    recovered.map(({ path, truncated }) => [path, truncated]),
    [
      ['data/70-log/half.log.zst', 'the capture ended while this was written'],
      ['data/70-log/whole.log', undefined],
    ],
  );
  assert.match(
    (await readWhole(store, 'data/00-meta/gaps.jsonl', 10_000)).toString(),
    /"reason":"vanished","detail":"ended while it was read","count":2/,
  );
  assert.equal((await verifyBundle(store)).verdict, 'intact');
});

test('seal refuses a sealed bundle, and any key but the one that began it', async (t) => {
  const folder = await temporaryFolder(t);
  const sealed = await makeBundle(folder);
  await assert.rejects(recoverBundle(sealed.custody), { code: 'bundle-sealed' });
  const open = await makeBundle(folder, sampleCollectors, { seal: false });
  await assert.rejects(recoverBundle({ ...open.custody, signer: newSigner() }), { code: 'key-unsuitable' });
});
