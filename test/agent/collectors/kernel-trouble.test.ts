// The kernel collector where files block, act when they are read, lead elsewhere, or may not be read.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { kernel } from '../../../agent/collectors/kernel.ts';
import { type Collected, collect } from '../../helpers/collect.ts';
import { gapAbout, type Impound, impound, machine } from '../../helpers/kernel-machine.ts';
import { walkThatSaw } from '../../helpers/walk.ts';

const asRoot = process.getuid?.() === 0;
const nobody = walkThatSaw();

test('an automount in the place of binfmt_misc is not triggered', async (t) => {
  const host = await machine(t, {
    'proc/1/mountinfo': '40 22 0:35 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw,fd=29\n',
    'proc/sys/fs/binfmt_misc/entered': 'enabled\n',
  });
  const collected = await collect(kernel, { host, walk: nobody });
  assert.match(gapAbout(collected, '/proc/sys/fs/binfmt_misc') ?? '', /^absent: an automount/);
  assert.ok(!impound(collected, 'handlers').some(({ handler }) => handler === 'binfmt_misc'));
});

test('nothing that blocks, acts or leads elsewhere is opened: FIFO, write-only file, link, device', {
  timeout: 20_000,
}, async (t) => {
  const host = await machine(t, {
    'proc/sys/kernel/hostname': 'node\xff1\n',
    'proc/sys/net/ipv4/route/flush': 'must not be read',
    'proc/sys/vm/compact_memory': 'must not be read',
    'proc/sys/kernel/secret_trigger': 'must not be read',
    'proc/sys/kernel/guarded': 'x',
    'proc/sys/net/ipv4/conf/eth0.7/forwarding': '1\n',
    'etc/passwd': 'elsewhere',
    'sys/module/m/initstate': 'live',
  });
  chmodSync(join(host.proc, 'sys/kernel/secret_trigger'), 0o200);
  chmodSync(join(host.proc, 'sys/net/ipv4/route/flush'), 0o200);
  const fifos = [
    'proc/sys/kernel/fifo',
    'proc/modules',
    'proc/kallsyms',
    'proc/keys',
    'proc/sys/kernel/core_pattern',
    'proc/sys/kernel/tainted',
    'proc/stat',
    'proc/iomem',
    'proc/1/mountinfo',
    'dev/kmsg',
    'sys/fs/pstore/fifo',
    'sys/module/m/version',
    'sys/kernel/tracing/current_tracer',
    'sys/kernel/debug/kprobes/list',
    'proc/sys/fs/binfmt_misc/fifo',
  ];
  for (const path of fifos) {
    mkdirSync(dirname(join(host.root, path)), { recursive: true });
    execFileSync('mkfifo', [join(host.root, path)]);
  }
  symlinkSync('/etc/passwd', join(host.proc, 'sys/kernel/link'));
  const collected = await collect(kernel, { host, walk: nobody });
  const values = impound(collected, 'sysctls').map((row) => row.sysctl as Impound);
  assert.deepEqual(values.map(({ name }) => name).sort(), [
    'kernel.guarded',
    'kernel.hostname',
    'net.ipv4.conf.eth0/7.forwarding',
  ]);
  assert.equal(values.find(({ name }) => name === 'kernel.hostname')?.value, 'nodeÿ1');
  assert.match(gapAbout(collected, '/proc/sys/kernel/fifo') ?? '', /^skipped: .*FIFO/);
  assert.match(gapAbout(collected, '/proc/sys/kernel/secret_trigger') ?? '', /^skipped: write-only/);
  assert.match(gapAbout(collected, '/proc/sys/net/ipv4/route/flush') ?? '', /^skipped: it flushes/);
  assert.match(gapAbout(collected, '/proc/sys/vm/compact_memory') ?? '', /^skipped/);
  assert.match(gapAbout(collected, '/proc/sys/kernel/link') ?? '', /^skipped: .*symbolic link/);
  const log = "sequence numbers and dictionaries in the kernel's log";
  assert.match(gapAbout(collected, log) ?? '', /^skipped: not the character device/);
  for (const name of ['/proc/modules', '/proc/kallsyms', '/proc/keys', '/sys/fs/pstore/fifo', '/proc/iomem']) {
    assert.match(gapAbout(collected, name) ?? '', /FIFO/, name);
  }
  for (const bytes of collected.artefacts.values()) assert.ok(!bytes.includes('must not be read'));
});

test('a sysctl that may not be read is a gap that says how to get it', async (t) => {
  const host = await machine(t, { 'proc/sys/kernel/guarded': 'x', 'proc/sys/kernel/open': 'y' });
  chmodSync(host.root, 0o755);
  chmodSync(join(host.proc, 'sys/kernel/guarded'), asRoot ? 0o400 : 0o044);
  if (asRoot) process.seteuid?.(65_534);
  let collected: Collected;
  try {
    collected = await collect(kernel, { host, walk: nobody });
  } finally {
    if (asRoot) process.seteuid?.(0);
  }
  assert.match(gapAbout(collected, '/proc/sys/kernel/guarded') ?? '', /^denied: .*root/);
  assert.deepEqual(
    impound(collected, 'sysctls').map((row) => (row.sysctl as Impound).name),
    ['kernel.open'],
  );
});
