import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { persistence } from '../../../agent/collectors/persistence.ts';
import type { NodeContext } from '../../../agent/context.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { unpacked } from '../../helpers/archive.ts';
import { type Collected, collect, rowsOf } from '../../helpers/collect.ts';
import { stuckFileSystem } from '../../helpers/fuse.ts';
import { fill, folderWith, mountFolder } from '../../helpers/temporary.ts';

const ARCHIVE = '60-file/persistence.tar.zst';

interface Row {
  readonly file: {
    readonly path: string;
    readonly type: string;
    readonly mode: string;
    readonly target_path?: string;
    readonly hash?: { readonly sha256: string };
  };
  readonly impound: { readonly what: string; readonly member: string };
}

function gather(root: string, overrides: Partial<NodeContext> = {}): Promise<Collected> {
  return collect(persistence, { host: hostAt(root, { proc: '/proc', sys: '/sys' }), ...overrides });
}

function tableOf({ artefacts }: Collected): ReadonlyMap<string, Row> {
  const rows = rowsOf(artefacts.get('60-file/persistence.jsonl')) as unknown as Row[];
  assert.equal(new Set(rows.map(({ file }) => file.path)).size, rows.length, 'a path stands twice');
  return new Map(rows.map((row) => [row.file.path, row]));
}

test('each mechanism by which something starts again is taken, under its host path and with what it is', async (t) => {
  const expected: Readonly<Record<string, string>> = {
    'etc/crontab': 'cron',
    'etc/cron.d/implant': 'cron',
    'etc/cron.hourly/.hidden': 'cron',
    'var/spool/cron/crontabs/mallory': 'cron',
    'etc/systemd/system/implant.service': 'systemd unit',
    'etc/systemd/system/ssh.service.d/override.conf': 'systemd unit',
    'home/ann/.config/systemd/user/implant.timer': 'systemd unit',
    'etc/systemd/system.control/ssh.service.d/50-implant.conf': 'systemd unit',
    'run/systemd/system.control/implant.service': 'systemd unit',
    'etc/systemd/system.attached/implant.service': 'systemd unit',
    'run/systemd/system.attached/implant.service': 'systemd unit',
    'home/ann/.config/systemd/user.control/implant.service': 'systemd unit',
    'etc/xdg/systemd/user/implant.service': 'systemd unit',
    'var/lib/systemd/linger/mallory': 'systemd unit',
    'etc/systemd/system-generators/implant': 'systemd generator',
    'etc/rc.local': 'init script',
    'etc/ld.so.preload': 'dynamic linker',
    'etc/pam.d/sshd': 'PAM',
    'usr/lib/x86_64-linux-gnu/security/pam_implant.so': 'PAM',
    'etc/sudoers.d/mallory': 'sudo',
    'etc/shadow': 'accounts',
    'home/ann/.ssh/authorized_keys': 'ssh',
    'srv/svc/.ssh/authorized_keys2': 'ssh',
    'home/ann/.bashrc': 'shell start-up',
    'etc/kubernetes/manifests/implant.yaml': 'kubernetes',
    'var/lib/kubelet/config.yaml': 'kubernetes',
    'etc/cni/net.d/00-implant.conflist': 'CNI',
    'opt/cni/bin/implant': 'CNI',
    'etc/containerd/config.toml': 'container engine',
    'etc/udev/rules.d/99-implant.rules': 'udev rule',
    'etc/modules-load.d/implant.conf': 'kernel module configuration',
    'etc/update-motd.d/00-implant': 'message of the day',
    'etc/apt/apt.conf.d/99implant': 'package manager hook',
    'etc/NetworkManager/dispatcher.d/10-implant': 'network hook',
    'usr/lib/python3/dist-packages/implant.pth': 'interpreter start-up',
    'usr/lib64/python3.9/site-packages/implant.pth': 'interpreter start-up',
  };
  const files = Object.fromEntries(Object.keys(expected).map((path) => [path, `content of ${path}`]));
  const root = await folderWith(t, {
    ...files,
    'etc/passwd': 'svc:x:990:990::/srv/svc:/bin/false\n',
    'etc/ssh/ssh_host_ed25519_key': 'private',
    'etc/ssh/ssh_host_ed25519_key.pub': 'public',
    'home/ann/thesis.txt': 'nobody asked for it',
    'home/ann/.ssh/id_ed25519': 'private',
  });
  await symlink('usr/lib', join(root, 'lib'));
  await chmod(join(root, 'etc/cron.hourly/.hidden'), 0o4755);
  const collected = await gather(root);
  const table = tableOf(collected);
  for (const [path, what] of Object.entries(expected)) {
    const row = table.get(`/${path}`);
    assert.equal(row?.impound.what, what, path);
    assert.equal(row?.file.hash?.sha256, createHash('sha256').update(`content of ${path}`).digest('hex'));
  }
  assert.equal(table.get('/etc/cron.hourly/.hidden')?.file.mode, '4755');
  assert.ok(table.has('/etc/ssh/ssh_host_ed25519_key.pub'));
  for (const path of ['/etc/ssh/ssh_host_ed25519_key', '/home/ann/.ssh/id_ed25519', '/home/ann/thesis.txt'])
    assert.ok(!table.has(path), path);
  const out = await unpacked(t, collected.artefacts.get(ARCHIVE));
  assert.equal(await readFile(join(out, 'etc/cron.d/implant'), 'utf8'), files['etc/cron.d/implant']);
});

test('a unit that is enabled by a link comes with the file it leads to, once, and never from outside the root', async (t) => {
  const root = await folderWith(t, { 'opt/units/implant.service': '[Service]\n', 'etc/hostname': 'node-1\n' });
  const wants = join(root, 'etc/systemd/system/multi-user.target.wants');
  await mkdir(wants, { recursive: true });
  await symlink('/opt/units/implant.service', join(wants, 'implant.service'));
  await symlink('../../../../opt/units/implant.service', join(wants, 'again.service'));
  await symlink('../../../../../../../../../../../../etc/hostname', join(wants, 'out.service'));
  await symlink('/dev/null', join(wants, 'masked.service'));
  await symlink('/nowhere', join(wants, 'dangling.service'));
  await symlink('loop.service', join(wants, 'loop.service'));
  await symlink('/', join(wants, 'all.service'));
  const collected = await gather(root);
  const table = tableOf(collected);
  assert.equal(table.get('/opt/units/implant.service')?.impound.what, 'systemd unit');
  const hostname = createHash('sha256').update('node-1\n').digest('hex');
  assert.equal(table.get('/etc/hostname')?.file.hash?.sha256, hostname);
  const folder = '/etc/systemd/system/multi-user.target.wants';
  assert.equal(table.get(`${folder}/masked.service`)?.file.target_path, '/dev/null');
  assert.equal(table.get(`${folder}/dangling.service`)?.file.type, 'symlink');
  assert.ok(collected.gaps.some(({ name, reason }) => reason === 'skipped' && name === `${folder}/all.service`));
});

test('a FIFO among the files and hostile names lose nothing else', { timeout: 60_000 }, async (t) => {
  const root = await folderWith(t, { 'etc/cron.d/good': 'x', 'etc/cron.d/line\nbreak': 'y' });
  execFileSync('mkfifo', [join(root, 'etc/cron.d/pipe'), join(root, 'etc/ld.so.preload')]);
  await writeFile(Buffer.concat([Buffer.from(join(root, 'etc/cron.d/')), Buffer.from([0xfe, 0x2a])]), 'z');
  const table = tableOf(await gather(root));
  assert.equal(table.get('/etc/cron.d/pipe')?.file.type, 'fifo');
  assert.equal(table.get('/etc/ld.so.preload')?.file.type, 'fifo');
  assert.ok(table.has('/etc/cron.d/good') && table.has('/etc/cron.d/line\nbreak') && table.has('/etc/cron.d/\ufffd*'));
});

test('the capture’s own folder is left out', async (t) => {
  const root = await folderWith(t, { 'etc/cron.d/good': 'x', 'etc/cron.d/own/evidence': 'y', 'etc/fstab': 'z' });
  const table = tableOf(await gather(root, { ownFolders: [join(root, 'etc/cron.d/own')] }));
  assert.ok(table.has('/etc/cron.d/good') && !table.has('/etc/cron.d/own/evidence'));
});

test('a home on a file system that never answers costs that home only', { timeout: 60_000 }, async (t) => {
  const root = await mountFolder(t);
  await fill(root, { 'etc/cron.d/good': 'x', 'home/bob/.bashrc': 'y', 'served/.bashrc': 'z' });
  const mountpoint = join(root, 'home/ann');
  await mkdir(mountpoint);
  await stuckFileSystem(t, mountpoint, join(root, 'served'), '.bashrc');
  const collected = await gather(root);
  const table = tableOf(collected);
  assert.ok(table.has('/home/bob/.bashrc') && !table.has('/home/ann/.bashrc'));
  const found = collected.gaps.find(({ name }) => name.includes('/home/ann'));
  assert.deepEqual([found?.reason, found?.detail], ['skipped', 'a file system of type fuse, which may never answer']);
});

test("this machine's own files are read to their end", async () => {
  const table = tableOf(await collect(persistence));
  assert.ok(table.has('/etc/passwd') && table.has('/etc/shadow'));
});
