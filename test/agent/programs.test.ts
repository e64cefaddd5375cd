import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readlinkSync } from 'node:fs';
import { chmod, chown, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FootprintItem } from '../../agent/context.ts';
import { findProgram, TRUSTED_FOLDERS } from '../../agent/programs/find.ts';
import { type Programs, programs, type RunOptions } from '../../agent/programs/run.ts';
import { needs } from '../helpers/component.ts';
import { needsRoot } from '../helpers/small-disk.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const root = { skip: needsRoot };

interface Bed {
  readonly folder: string;
  readonly programs: Programs;
  readonly footprint: readonly FootprintItem[];
}

/** Programs of a folder of the test's own, in which "ip" is this shell script. */
async function bed(t: TestContext, script: string): Promise<Bed> {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'ip'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const footprint: FootprintItem[] = [];
  return { folder, footprint, programs: programs((item) => footprint.push(item), [folder, ...TRUSTED_FOLDERS]) };
}

function bounds(more: Partial<RunOptions> = {}): RunOptions {
  return { signal: new AbortController().signal, seconds: 10, bytes: 1_000_000, ...more };
}

test('output comes back, and the footprint has version, digest, process and arguments', root, async (t) => {
  const { folder, footprint, programs: ours } = await bed(t, 'echo "$0 $* [$HOME] $LC_ALL"; echo beside >&2');
  const { kind, why, stdout } = await ours.run('ip', ['a b', '$(id)'], bounds());
  assert.deepEqual([kind, why, stdout.toString()], ['done', 'beside', `${folder}/ip a b $(id) [] C\n`]);
  const digest = createHash('sha256')
    .update(await readFile(join(folder, 'ip')))
    .digest('hex');
  assert.deepEqual(
    footprint.filter((item) => item.kind === 'program'),
    [{ kind: 'program', name: `${folder}/ip`, detail: `${folder}/ip -V [] C, sha256:${digest}` }],
  );
  const process = footprint.find((item) => item.kind === 'process');
  assert.match(process?.name ?? '', /^pid \d+$/);
  assert.equal(process?.detail, `${folder}/ip a b $(id)`);
});

test('a failure says with what the program ended and what it complained of', root, async (t) => {
  const { programs: ours } = await bed(t, 'echo half; echo "no such device" >&2; exit 3');
  const { kind, why, stdout } = await ours.run('ip', [], bounds());
  assert.equal(kind, 'failed');
  assert.match(why, /ip ended with 3: no such device$/);
  assert.equal(stdout.toString(), 'half\n');
});

test('a program that is not there is missing, with what is lost', async (t) => {
  const ours = programs(() => undefined, [await temporaryFolder(t)]);
  const { kind, why } = await ours.run('tcpdump', [], bounds());
  assert.equal(kind, 'missing');
  assert.match(why, /tcpdump is not in .*; lost: packets$/);
});

test(
  'a program that others than root can change is not run: itself, its folder, one above, or where a link leads',
  root,
  async (t) => {
    const { folder } = await bed(t, ':');
    const path = join(folder, 'ip');
    const found = () => findProgram('ip', [folder]);
    assert.equal((await found()).kind, 'found');
    for (const [file, mode] of [
      [path, 0o757],
      [folder, 0o777],
    ] as const) {
      await chmod(file, mode);
      const refused = await found();
      assert.equal(refused.kind, 'missing');
      assert.match(refused.kind === 'missing' ? refused.why : '', /can be changed by, others than root/);
      await chmod(file, 0o755);
    }
    await chown(path, 1234, 1234);
    assert.equal((await found()).kind, 'missing');
    const open = await temporaryFolder(t);
    await mkdir(join(open, 'bin'));
    await writeFile(join(open, 'bin', 'nft'), '#!/bin/sh\n', { mode: 0o755 });
    await symlink(join(open, 'bin', 'nft'), join(folder, 'nft'));
    assert.equal((await findProgram('nft', [folder])).kind, 'found');
    await chmod(open, 0o777);
    assert.equal((await findProgram('nft', [folder])).kind, 'missing');
    assert.equal((await findProgram('nft', [join(open, 'bin')])).kind, 'missing');
  },
);

test('the deadline ends a program and what it started, and keeps what was given', root, async (t) => {
  const { programs: ours } = await bed(t, '[ "$1" = -V ] && exit; sleep 60 & echo $!; sleep 60');
  const begun = performance.now();
  const { kind, why, stdout } = await ours.run('ip', [], bounds({ seconds: 0.5 }));
  assert.ok(performance.now() - begun < 5000);
  assert.equal(kind, 'timeout');
  assert.match(stdout.toString(), /^\d+\n$/);
  const started = `/proc/${stdout.toString().trim()}/exe`;
  for (let tries = 0; tries < 100 && existsSync(started); tries++) await sleep(20);
  assert.equal(existsSync(started), false);
  assert.match(why, /was not done after 0.5 s$/);
});

test('the signal ends a program, and nothing is started after it', root, async (t) => {
  const { programs: ours, footprint } = await bed(t, '[ "$1" = -V ] && exit; echo early; exec sleep 60');
  const stopping = new AbortController();
  const running = await ours.start('ip', [], bounds({ signal: stopping.signal }));
  for await (const _ of running.stdout) stopping.abort();
  assert.equal((await running.ended).kind, 'aborted');
  const count = footprint.length;
  assert.equal((await ours.run('ip', [], bounds({ signal: stopping.signal }))).kind, 'aborted');
  assert.equal(footprint.length, count);
});

test('output beyond the bound is cut there, and the program ended', root, async (t) => {
  const { programs: ours } = await bed(t, '[ "$1" = -V ] && exit; exec yes');
  const { kind, why, stdout } = await ours.run('ip', [], bounds({ bytes: 100_001 }));
  assert.deepEqual([kind, why, stdout.length], ['truncated', 'limit of 100001 bytes of output', 100_001]);
});

test('who stops reading ends the program', root, async (t) => {
  const { programs: ours } = await bed(t, '[ "$1" = -V ] && exit; exec yes');
  const running = await ours.start('ip', [], bounds());
  for await (const _ of running.stdout) break;
  assert.equal((await running.ended).kind, 'aborted');
});

test('a program that is asked to end can finish what it writes; one that will not is killed', root, async (t) => {
  const { programs: ours } = await bed(
    t,
    `[ "$1" = -V ] && exit
if [ "$1" = deaf ]; then trap '' TERM; else trap 'echo last; exit 0' TERM; fi
echo first; while :; do sleep 0.1; done`,
  );
  for (const [word, kind, output] of [
    ['polite', 'done', 'first\nlast\n'],
    ['deaf', 'timeout', 'first\n'],
  ] as const) {
    const running = await ours.start('ip', [word], bounds());
    let said = '';
    for await (const chunk of running.stdout) {
      if (said === '') running.stop();
      said += Buffer.from(chunk).toString();
    }
    assert.deepEqual([(await running.ended).kind, said], [kind, output]);
  }
});

test('a program runs in the namespace that was meant, or not at all', root, async (t) => {
  if (!needs(t, 'nsenter')) return;
  const { programs: ours, footprint } = await bed(t, 'readlink /proc/self/ns/net');
  const child = spawn('unshare', ['--net', 'sleep', '600'], { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  const path = `/proc/${child.pid}/ns/net`;
  const own = readlinkSync('/proc/self/ns/net');
  for (let tries = 0; tries < 100 && readlinkSync(path) === own; tries++) await sleep(20);
  const inode = Number(/\d+/.exec(readlinkSync(path))?.[0]);
  const netns = { path, inode };
  assert.equal((await ours.run('ip', [], bounds({ netns }))).stdout.toString(), `net:[${inode}]\n`);
  assert.ok(footprint.some(({ detail }) => detail?.endsWith(`(in net:[${inode}])`)));
  assert.equal((await ours.run('ip', [], bounds({ netns: { path, inode: inode + 1 } }))).kind, 'vanished');
  child.kill('SIGKILL');
  await once(child, 'close');
  assert.equal((await ours.run('ip', [], bounds({ netns }))).kind, 'vanished');
});

test('a FIFO where a namespace was does not hold up the capture', { ...root, timeout: 10_000 }, async (t) => {
  if (!needs(t, 'nsenter')) return;
  const { folder, programs: ours } = await bed(t, ':');
  const path = join(folder, 'fifo');
  await once(spawn('mkfifo', [path]), 'close');
  assert.equal((await ours.run('ip', [], bounds({ netns: { path, inode: 1 } }))).kind, 'vanished');
});
