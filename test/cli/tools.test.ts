// A bundle of this machine, checked and read with tools that are not ours, as the documentation says.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { cli, lastLine } from '../helpers/cli.ts';
import { needs } from '../helpers/component.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { cacheDirectory, goPrograms, pythonEnvironment } from '../testbed/components.ts';

test('a capture of this machine', async (t) => {
  const home = await temporaryFolder(t);
  const captured = await cli(
    ['capture', '--local', '--store', join(home, 'store'), '--case', 'IR-7', '--reason', 'a test'],
    { home },
  );
  assert.equal(captured.code, 0, captured.stderr);
  const bundle = lastLine(captured);
  const key = join(home, 'impound/signing.pem.pub');

  await t.test('is verified by its own key and head', async () => {
    const head = /head +(\d+:[0-9a-f]{64})/.exec(captured.stdout)?.[1] ?? '';
    const verified = await cli(['verify', bundle, '--strict', '--key', key, '--head', head], { home });
    assert.equal(verified.code, 0, verified.stdout);
    assert.equal(lastLine(verified), 'intact');
  });

  await t.test('is verified by sha256sum', () => {
    for (const manifest of ['manifest-sha256.txt', 'tagmanifest-sha256.txt']) {
      execFileSync('sha256sum', ['--check', '--strict', '--quiet', manifest], { cwd: bundle });
    }
  });

  await t.test('has entries that cosign verifies', { skip: process.env.IMPOUND_SOAK === undefined }, async (t) => {
    if (!needs(t, 'cosign')) return;
    const cosign = (entry: string, artefact: string) =>
      spawnSync(join(goPrograms(cacheDirectory()), 'cosign'), [
        ...['verify-blob-attestation', '--key', key, '--insecure-ignore-tlog=true'],
        ...['--type', 'https://impound.dev/custody/v1', '--signature', join(bundle, 'custody', entry)],
        join(bundle, artefact),
      ]);
    const request = 'data/00-meta/request.json';
    const granted = cosign('000000.dsse.json', request);
    assert.equal(granted.status, 0, granted.stderr.toString());
    assert.match(granted.stderr.toString(), /Verified OK/);
    assert.notEqual(cosign('000000.dsse.json', 'data/00-meta/coverage.json').status, 0, 'of another artefact');
    assert.notEqual(cosign('000001.dsse.json', request).status, 0, 'with another entry');
  });

  await t.test('is a valid bag', async (t) => {
    if (!needs(t, 'bagit')) return;
    const python = join(pythonEnvironment(cacheDirectory()), 'bin', 'python3');
    execFileSync(python, ['-m', 'bagit', '--validate', bundle], { stdio: 'pipe' });
  });

  await t.test('is verified by the shell check of the documentation, which sees an altered byte', async (t) => {
    if (!needs(t, 'jq', 'openssl')) return;
    const document = await readFile(join(import.meta.dirname, '../../docs/verify-by-hand.md'), 'utf8');
    const script = /```sh\n(.*?)```/s.exec(document)?.[1] ?? '';
    assert.ok(script.split('\n').length < 32);
    await writeFile(join(home, 'check-chain.sh'), script);
    const check = (): string =>
      execFileSync('sh', [join(home, 'check-chain.sh'), bundle, key], { stdio: 'pipe' }).toString();
    assert.match(check(), /^intact: \d+ entries signed by this key, head \d+:[0-9a-f]{64}$/m);
    const host = join(bundle, 'data/00-meta/host.json');
    const before = await readFile(host);
    await appendFile(host, ' ');
    assert.throws(check);
    const verified = await cli(['verify', bundle], { home });
    assert.equal(verified.code, 1);
    assert.match(
      verified.stdout,
      /data\/00-meta\/host\.json: its bytes are not those that were stored \[payload-altered\]/,
    );
    await writeFile(host, before);
    assert.match(check(), /^intact/);
  });

  await t.test('is listed, with its gaps and its chain', async () => {
    const listed = await cli(['ls', bundle], { home });
    assert.match(listed.stdout, /data\/10-process\/processes\.jsonl/);
    assert.match(listed.stdout, /GAPS +REASON/);
    const custody = await cli(['ls', bundle, '--custody'], { home });
    assert.match(custody.stdout, /^ *0 +\S+Z +grant/m);
    assert.match(custody.stdout, /^ *\d+ +\S+Z +seal/m);
  });

  await t.test('is read with cat, jq and tar', async () => {
    const table = await cli(['cat', bundle, '10-process/processes.jsonl'], { home });
    const rows = table.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { process: { pid: number } });
    assert.ok(rows.some(({ process: { pid } }) => pid === process.pid));
    const names = execFileSync('sh', ['-c', `zstd -dc "${bundle}/data/10-process/proc.tar.zst" | tar -t`], {
      stdio: 'pipe',
      maxBuffer: 1e8,
    });
    assert.match(names.toString(), new RegExp(`^${process.pid}/cmdline$`, 'm'));
  });

  await t.test('is not sealed twice', async () => {
    const sealed = await cli(['seal', bundle], { home });
    assert.equal(sealed.code, 2);
    assert.match(sealed.stderr, /\[bundle-sealed\]/);
  });
});
