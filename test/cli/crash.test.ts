// kill -9 of a real capture at random moments: what the chain names is whole, seal finishes it, nothing changes.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cli, startCli } from '../helpers/cli.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const ROUNDS = process.env.IMPOUND_SOAK === undefined ? 10 : 30;

test(`a capture killed at ${ROUNDS} random moments loses nothing that was stored`, async (t) => {
  const home = await temporaryFolder(t);
  const endings: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const store = join(home, `store${round}`);
    const child = startCli(['capture', '--local', '--store', store, '--profile', 'quick'], { home });
    child.stdout?.resume();
    child.stderr?.resume();
    await sleep(200 + Math.random() * 2300);
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    endings.push(await examine(store, home));
  }
  t.diagnostic(endings.join(', '));
});

async function examine(store: string, home: string): Promise<string> {
  const bundle = await bundleIn(store);
  if (bundle === undefined) return 'nothing begun';
  const before = await digests(bundle);
  const verified = await cli(['verify', bundle, '--json'], { home });
  const report = JSON.parse(verified.stdout) as { verdict?: string; findings?: unknown[]; error?: { code: string } };
  if (report.error !== undefined) {
    assert.equal(report.error.code, 'not-a-bundle');
    return 'nothing committed';
  }
  assert.deepEqual(report.findings, []);
  if (report.verdict === 'intact') return 'sealed';
  assert.equal(report.verdict, 'unsealed');
  const sealed = await cli(['seal', bundle], { home });
  assert.equal(sealed.code, 0, sealed.stderr);
  const again = await cli(['verify', bundle, '--strict', '--key', join(home, 'impound/signing.pem.pub')], { home });
  assert.equal(again.code, 0, again.stdout);
  const after = await digests(bundle);
  for (const [path, digest] of before) assert.equal(after.get(path), digest, path);
  return `unsealed after ${before.size} files`;
}

async function bundleIn(store: string): Promise<string | undefined> {
  const folder = join(store, 'local/no-case');
  const [id] = await readdir(folder).catch(() => []);
  return id === undefined ? undefined : join(folder, id);
}

async function digests(folder: string): Promise<ReadonlyMap<string, string>> {
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((file) => file.isFile());
  const found = new Map<string, string>();
  for (const file of files) {
    const path = join(file.parentPath, file.name);
    found.set(
      path,
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    );
  }
  return found;
}
