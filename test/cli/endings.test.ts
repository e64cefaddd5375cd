// How a capture can end: stopped by a person, by a full disk, without root. Whatever was stored is sealed and verifies.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cli, lastLine, type Ran, startCli } from '../helpers/cli.ts';
import { needsRoot, smallDisk } from '../helpers/small-disk.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

async function verified(bundle: string, home: string): Promise<Ran> {
  return await cli(['verify', bundle, '--key', join(home, 'impound/signing.pem.pub'), '--strict'], { home });
}

async function onlyBundle(store: string): Promise<string> {
  const folder = join(store, 'local/no-case');
  const [id = ''] = await readdir(folder);
  return join(folder, id);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`${signal} stops the collectors, and what is there is sealed`, async (t) => {
    const home = await temporaryFolder(t);
    const child = startCli(['capture', '--local', '--store', join(home, 'store')], { home });
    child.stdout?.resume();
    let stderr = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    // the bundle is begun once its folder is there
    while ((await readdir(join(home, 'store/local/no-case')).catch(() => [])).length === 0) await sleep(10);
    await sleep(300);
    child.kill(signal);
    const [code] = (await once(child, 'close')) as [number | null];
    assert.equal(code, 2, stderr);
    assert.match(stderr, /stopping; what was stored is kept and sealed/);
    const report = await verified(await onlyBundle(join(home, 'store')), home);
    assert.equal(report.code, 0, report.stdout);
  });
}

test('a disk that fills up is said, and what fitted is sealed', { skip: needsRoot }, async (t) => {
  const home = await temporaryFolder(t);
  const disk = await smallDisk(t, 2);
  const captured = await cli(['capture', '--local', '--store', disk, '--profile', 'quick'], { home });
  assert.equal(captured.code, 2);
  assert.match(captured.stderr, /the store is full.*what was stored until then is sealed: .* \[store-full\]/);
  const report = await verified(await onlyBundle(disk), home);
  assert.equal(report.code, 0, report.stdout);
});

test('without root it captures what it may, and says what was denied and how to get it', {
  skip: needsRoot,
}, async (t) => {
  const home = await temporaryFolder(t);
  await chmod(home, 0o777);
  await mkdir(join(home, 'store'));
  await chmod(join(home, 'store'), 0o777);
  const options = { home: join(home, 'person'), uid: 65_534 };
  const captured = await cli(
    ['capture', '--local', '--store', join(home, 'store'), '--profile', 'quick', '--verify'],
    options,
  );
  assert.equal(captured.code, 0, captured.stderr);
  assert.match(captured.stdout, /not run as root: what was denied above needs root \(sudo\)/);
  assert.match(captured.stdout, /denied +\w+ +the kernel refused: run as root/);
  assert.match(captured.stdout, /^intact$/m);
  const strict = await cli(
    ['capture', '--local', '--store', join(home, 'store'), '--collector', 'kernel', '--strict'],
    options,
  );
  assert.equal(strict.code, 1);
});

test('a capture that is still running is not sealed by somebody else', async (t) => {
  const home = await temporaryFolder(t);
  const child = startCli(['capture', '--local', '--store', join(home, 'store')], { home });
  child.stdout?.resume();
  child.stderr?.resume();
  try {
    while ((await readdir(join(home, 'store/local/no-case')).catch(() => [])).length === 0) await sleep(10);
    const bundle = await onlyBundle(join(home, 'store'));
    while ((await readdir(join(bundle, 'custody')).catch(() => [])).length < 3) await sleep(10);
    child.kill('SIGSTOP');
    const sealed = await cli(['seal', bundle], { home });
    child.kill('SIGCONT');
    assert.equal(sealed.code, 2);
    assert.match(sealed.stderr, /\[bundle-busy\]/);
  } finally {
    // it must have ended before its folder is removed
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
});

test('two captures into one store do not touch each other, and --json is one line', async (t) => {
  const home = await temporaryFolder(t);
  await cli(['keygen'], { home });
  const words = ['capture', '--local', '--store', join(home, 'store'), '--collector', 'host', '--json'];
  const both = await Promise.all([cli(words, { home }), cli(words, { home })]);
  for (const captured of both) {
    assert.equal(captured.code, 0, captured.stderr);
    const { path } = JSON.parse(lastLine(captured)) as { path: string };
    assert.equal((await verified(path, home)).code, 0);
  }
  assert.equal((await readdir(join(home, 'store/local/no-case'))).length, 2);
  assert.deepEqual(await readdir(join(home, 'store')), ['local']);
});
