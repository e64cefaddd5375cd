import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, readlinkSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { tmpfs } from '../../../agent/collectors/tmpfs.ts';
import type { NodeContext } from '../../../agent/context.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { startWalk } from '../../../agent/host/walk.ts';
import { unpacked } from '../../helpers/archive.ts';
import { type Collected, collect, rowsOf } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { stuckCommand } from '../../helpers/fuse.ts';
import { mountFolder } from '../../helpers/temporary.ts';
import { BUSYBOX, startDockerd } from '../../testbed/dockerd.ts';

const ARCHIVE = '60-file/tmpfs.tar.zst';

interface Row {
  readonly file: {
    readonly path: string;
    readonly type: string;
    readonly size: number;
    readonly hash?: { readonly sha256: string };
  };
  readonly container?: { readonly id: string };
  readonly impound: {
    readonly what: string;
    readonly member: string;
    readonly mntns?: number;
    readonly podUid?: string;
    readonly mount: { readonly point: string };
  };
}

/** Only `pids`, and of our own mounts only what is below `folder`: what else this machine has is not the test's. */
async function gather(
  folder: string,
  pids: readonly number[],
  overrides: Partial<NodeContext> = {},
): Promise<Collected> {
  const ending = new AbortController();
  const others = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, point = ''] = /^\S+ \S+ \S+ \S+ (\S+) .* - (?:tmpfs|ramfs|devtmpfs) /.exec(line) ?? [];
      return point === '' || point.startsWith(`${folder}/`) ? [] : [point];
    });
  const walk = startWalk(hostAt('/'), { raw: false, signal: ending.signal, pids });
  try {
    return await collect(tmpfs, { walk, ...overrides, ownFolders: [...others, ...(overrides.ownFolders ?? [])] });
  } finally {
    ending.abort();
  }
}

function tableOf({ artefacts }: Collected): readonly Row[] {
  return rowsOf(artefacts.get('60-file/tmpfs.jsonl')) as unknown as Row[];
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** A shell in a mount namespace of its own that has run `script`, by the PID it has here. */
async function inNamespace(t: TestContext, script: string, args: readonly string[]): Promise<number> {
  const body = `${script}\necho ready; exec sleep 1000`;
  const child = spawn('unshare', ['-m', 'sh', '-ec', body, 'sh', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child.pid ?? 0;
}

async function mounted(folder: string, type = 'tmpfs'): Promise<string> {
  await mkdir(folder, { recursive: true });
  execFileSync('mount', ['-t', type, 'none', folder]);
  return folder;
}

test("our own namespace's memory file systems come with their content; a pod's volume names its pod", async (t) => {
  const folder = await mountFolder(t);
  const uid = '5f0f8d1e-0000-4000-8000-000000000001';
  const volume = join(folder, `var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~empty-dir/cache`);
  await mounted(volume);
  await mkdir(join(volume, 'deep'));
  await writeFile(join(volume, 'deep/implant'), 'only in memory');
  await mounted(join(folder, 'old'), 'ramfs');
  await writeFile(join(folder, 'old/file'), 'in ramfs');
  const collected = await gather(folder, []);
  const rows = tableOf(collected);
  const row = rows.find(({ file }) => file.path === `${volume}/deep/implant`);
  assert.equal(row?.file.hash?.sha256, digest('only in memory'));
  assert.equal(row?.impound.podUid, uid);
  assert.equal(row?.impound.mount.point, volume);
  assert.equal(rows.find(({ file }) => file.path === `${folder}/old/file`)?.impound.what, 'ramfs');
  const out = await unpacked(t, collected.artefacts.get(ARCHIVE));
  assert.equal(await readFile(join(out, row?.impound.member ?? ''), 'utf8'), 'only in memory');
});

test('a tmpfs in a private mount namespace is found with its content', async (t) => {
  const folder = await mountFolder(t);
  const pid = await inNamespace(t, 'mount -t tmpfs none "$1"; echo secret > "$1/implant"; mkfifo "$1/pipe"', [folder]);
  const collected = await gather(folder, [pid]);
  const row = tableOf(collected).find(({ file }) => file.path === `${folder}/implant`);
  assert.equal(row?.file.hash?.sha256, digest('secret\n'));
  assert.equal(row?.impound.mntns, Number(/\d+/.exec(readlinkSync(`/proc/${pid}/ns/mnt`))?.[0]));
  assert.equal(row?.impound.member, `mntns-${row?.impound.mntns}${folder}/implant`);
  assert.ok(tableOf(collected).some(({ file }) => file.path === `${folder}/pipe` && file.type === 'fifo'));
});

test('a file system that is mounted in several places and namespaces is taken once', async (t) => {
  const folder = await mountFolder(t);
  const whole = await mounted(join(folder, 'whole'));
  await mkdir(join(whole, 'part'));
  await mkdir(join(folder, 'bound'));
  await writeFile(join(whole, 'part/file'), 'once');
  execFileSync('mount', ['--bind', join(whole, 'part'), join(folder, 'bound')]);
  const pid = await inNamespace(t, 'true', []);
  const rows = tableOf(await gather(folder, [pid])).filter(({ file }) => file.type === 'file');
  assert.deepEqual(
    rows.filter(({ file }) => file.hash?.sha256 === digest('once')).map(({ file }) => file.path),
    [`${whole}/part/file`],
  );
});

test('only a part of a file system is mounted, in a namespace whose mount hides another: both are dealt with', async (t) => {
  const folder = await mountFolder(t);
  const script = `mkdir -p "$1/a" "$1/b" "$1/c"; mount -t tmpfs none "$1/a"; mkdir "$1/a/sub"; echo part > "$1/a/sub/file"
mount --bind "$1/a/sub" "$1/b"; umount "$1/a"; mount -t tmpfs none "$1/c"; echo below > "$1/c/file"; mount -t tmpfs none "$1/c"`;
  const collected = await gather(folder, [await inNamespace(t, script, [folder])]);
  const paths = new Map(tableOf(collected).map(({ file }) => [file.path, file.hash?.sha256]));
  assert.equal(paths.get(`${folder}/b/file`), digest('part\n'));
  assert.ok(paths.has(`${folder}/c`) && !paths.has(`${folder}/c/file`));
  const hidden = collected.gaps.find(({ detail }) => detail === 'hidden below what is mounted over it');
  assert.match(hidden?.name ?? '', /\/c$/);
});

test('the capture’s own folder is left out, and what is mounted in a memory file system is not entered', async (t) => {
  const folder = await mountFolder(t);
  const whole = await mounted(join(folder, 'whole'));
  for (const name of ['own', 'proc']) await mkdir(join(whole, name));
  await writeFile(join(whole, 'own/evidence'), 'x');
  execFileSync('mount', ['-t', 'proc', 'none', join(whole, 'proc')]);
  const collected = await gather(folder, [], { ownFolders: [join(whole, 'own')] });
  const paths = tableOf(collected).map(({ file }) => file.path);
  assert.ok(paths.includes(`${whole}/proc`) && !paths.some((path) => path.startsWith(`${whole}/proc/`)));
  assert.ok(!paths.includes(`${whole}/own/evidence`));
});

test("a container's own tmpfs comes with the container's id", { timeout: 120_000 }, async (t) => {
  if (!needs(t, 'dockerd', 'docker', 'busybox')) return;
  const bed = await startDockerd();
  t.after(() => bed.stop());
  const id = await bed.run(
    '--tmpfs',
    '/work',
    BUSYBOX,
    '/bin/sh',
    '-c',
    'echo beacon > /dev/shm/.x; echo key > /work/k; sleep 1000',
  );
  await bed.docker('exec', id, '/bin/sh', '-c', 'until [ -e /work/k ]; do sleep 0.1; done');
  const pid = Number(await bed.docker('inspect', '--format', '{{.State.Pid}}', id));
  const rows = tableOf(await gather('/nowhere', [pid])).filter(({ container }) => container?.id === id);
  assert.equal(rows.find(({ file }) => file.path === '/work/k')?.file.hash?.sha256, digest('key\n'));
  assert.equal(rows.find(({ file }) => file.path === '/dev/shm/.x')?.file.hash?.sha256, digest('beacon\n'));
});

test('a file system that never answers, in one of another namespace, costs that folder, and what is mounted over it', {
  timeout: 60_000,
}, async (t) => {
  const folder = await mountFolder(t);
  await mkdir(join(folder, 'served'));
  const script = `mkdir "$1/whole" "$1/over"; mount -t tmpfs none "$1/whole"; mkdir "$1/whole/fuse"
echo here > "$1/whole/file"; shift; exec "$@"`;
  const stuck = stuckCommand(join(folder, 'whole/fuse'), join(folder, 'served'));
  const child = spawn('unshare', ['-m', 'sh', '-ec', script, 'sh', folder, ...stuck], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const inside = ['-t', String(child.pid), '-m', 'mount'];
  execFileSync('nsenter', [...inside, '--bind', join(folder, 'whole/fuse'), join(folder, 'over')]);
  execFileSync('nsenter', [...inside, '-t', 'tmpfs', 'none', join(folder, 'over')]);
  child.kill('SIGSTOP');
  const collected = await gather(folder, [child.pid ?? 0]);
  const paths = tableOf(collected).map(({ file }) => file.path);
  assert.ok(paths.includes(`${folder}/whole/file`));
  assert.ok(!paths.some((path) => path.startsWith(`${folder}/over`) || path === `${folder}/whole/fuse`));
  const why = (name: string) => collected.gaps.find((gap) => gap.name.endsWith(`${folder}/${name}`))?.detail;
  assert.equal(why('whole/fuse'), 'a file system of type fuse, which may never answer');
  assert.equal(why('over'), 'a file system of type fuse, which may never answer, is on the way');
});
