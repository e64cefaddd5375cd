import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { kernel } from '../../../agent/collectors/kernel.ts';
import { collect, rowsOf } from '../../helpers/collect.ts';
import { copyFixture, gapAbout, type Impound, impound, machine } from '../../helpers/kernel-machine.ts';
import { needsRoot } from '../../helpers/small-disk.ts';
import { walkThatSaw } from '../../helpers/walk.ts';

const nobody = walkThatSaw();

test('a module that lies in one place is found through the others', async (t) => {
  const loaded = Object.fromEntries(
    ['nft_chain_nat', 'nf_nat', 'nvidia', 'ext4'].map((name) => [`sys/module/${name}/initstate`, 'live\n']),
  );
  const host = await machine(t, {
    ...loaded,
    'sys/module/nvidia/version': '550.54\n',
    'sys/module/sneaky/refcnt': '0\n', // in sysfs only: unlinked from the list of modules
    'sys/module/printk/parameters/time': 'Y\n', // built in
  });
  copyFixture(host, 'modules', 'proc/modules');
  copyFixture(host, 'kallsyms', 'proc/kallsyms');
  const collected = await collect(kernel, { host, walk: nobody });
  const rows = new Map(impound(collected, 'modules').map((row) => [(row.module as Impound).name, row]));
  assert.deepEqual([...rows.keys()].sort(), [
    'evilkit',
    'ext4',
    'ghost',
    'nf_nat',
    'nft_chain_nat',
    'nvidia',
    'sneaky',
  ]);
  assert.deepEqual(rows.get('sneaky')?.hidden, ['/proc/modules']);
  assert.deepEqual(rows.get('evilkit')?.hidden, ['/sys/module']);
  assert.deepEqual(rows.get('ghost')?.hidden, ['/proc/modules', '/sys/module']);
  assert.deepEqual(rows.get('ghost')?.seen, ['/proc/kallsyms']);
  for (const name of ['ext4', 'nf_nat', 'nft_chain_nat', 'nvidia']) assert.equal(rows.get(name)?.hidden, undefined);
  assert.deepEqual(rows.get('nf_nat')?.module, {
    name: 'nf_nat',
    size: 65_536,
    references: 2,
    usedBy: ['nft_chain_nat', 'xt_MASQUERADE'],
    state: 'live',
    address: '0xffffffffc0b3f000',
    sysfsState: 'live',
  });
  assert.equal((rows.get('nvidia')?.module as Impound | undefined)?.taint, 'POE');
  assert.equal((rows.get('evilkit')?.module as Impound | undefined)?.taint, 'OE');
  const programs = impound(collected, 'ebpf').map((row) => row.ebpf as Impound);
  assert.deepEqual(programs[0], {
    seen: 'symbol',
    kind: 'program',
    symbol: 'bpf_prog_59f4a931744dcdc6_evil',
    address: 'ffffffffc0022048',
    tag: '59f4a931744dcdc6',
    name: 'evil',
  });
  assert.deepEqual([programs.length, programs[1]?.kind], [2, 'other']);
  const raw = collected.artefacts.get('50-kernel/raw.tar.zst');
  for (const name of ['kallsyms', 'modules'])
    assert.ok(raw?.includes(readFileSync(join(host.proc, name))), `${name} is kept raw`);
});

test('programs the kernel starts: core_pattern, modprobe, release_agent, binfmt_misc', async (t) => {
  const host = await machine(t, {
    'proc/sys/kernel/core_pattern': '|/var/tmp/.x %P %u\n',
    'proc/sys/kernel/modprobe': '/sbin/modprobe\n',
    'sys/kernel/uevent_helper': '\n',
    'proc/1/mountinfo': [
      '31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755',
      '32 31 0:29 / /sys/fs/cgroup/rdma rw - cgroup cgroup rw,rdma',
      '33 31 0:30 / /tmp/cg\\040rp rw - cgroup cgroup rw,memory,release_agent=/cmd',
      '34 31 0:31 / /tmp/gone rw - cgroup cgroup rw,pids,release_agent=/other',
      '',
    ].join('\n'),
    'sys/fs/cgroup/rdma/release_agent': '/bin/evil\n',
    'sys/fs/cgroup/rdma/notify_on_release': '1\n',
    'tmp/cg rp/release_agent': '/cmd\n',
    'tmp/cg rp/notify_on_release': '0\n',
    'proc/sys/fs/binfmt_misc/status': 'enabled\n',
    'proc/sys/fs/binfmt_misc/qemu-arm':
      'enabled\ninterpreter /usr/bin/qemu-arm\nflags: OCF\noffset 0\nmagic 7f454c46\nmask ffffffff\n',
    'proc/sys/fs/binfmt_misc/register': 'must not be read',
  });
  const collected = await collect(kernel, { host, walk: nobody });
  const handlers = impound(collected, 'handlers');
  const of = (handler: string): Impound[] => handlers.filter((row) => row.handler === handler);
  assert.deepEqual(of('core_pattern'), [
    {
      handler: 'core_pattern',
      from: '/proc/sys/kernel/core_pattern',
      value: '|/var/tmp/.x %P %u',
      piped: true,
      program: '/var/tmp/.x',
      set: true,
    },
  ]);
  assert.equal(of('modprobe')[0]?.value, '/sbin/modprobe');
  assert.equal(of('uevent_helper')[0]?.set, false);
  assert.deepEqual(
    of('release_agent').map(({ from, value, notifyOnRelease, controllers }) => [
      from,
      value,
      notifyOnRelease,
      controllers,
    ]),
    [
      ['/sys/fs/cgroup/rdma/release_agent', '/bin/evil', true, ['rdma']],
      ['/tmp/cg rp/release_agent', '/cmd', false, ['memory']],
      ['mount options of /tmp/gone (seen by pid 1)', '/other', undefined, ['pids']],
    ],
  );
  const [format] = of('binfmt_misc').filter(({ name }) => name === 'qemu-arm');
  assert.deepEqual(
    [format?.enabled, format?.interpreter, format?.flags, format?.magic],
    [true, '/usr/bin/qemu-arm', 'OCF', '7f454c46'],
  );
  assert.ok(!of('binfmt_misc').some(({ name }) => name === 'register'));
});

test('what hooks functions is read from a tracefs that is mounted; without one that is a gap', async (t) => {
  const host = await machine(t, {
    'sys/kernel/tracing/current_tracer': 'function\n',
    'sys/kernel/tracing/tracing_on': '1\n',
    'sys/kernel/tracing/enabled_functions':
      '__x64_sys_kill (1) R I \ttramp: 0xffffffffc0030000 (fh_ftrace_thunk+0x0/0x40 [evilkit])\n',
    'sys/kernel/tracing/kprobe_events': 'p:kprobes/steal tcp_sendmsg arg1=%di\n',
    'sys/kernel/tracing/uprobe_events': 'r:uprobes/pam /lib/libpam.so.0:0x0000000000003a40\n',
    'sys/kernel/tracing/trace_pipe': 'must not be read',
    'sys/kernel/livepatch/lp_fix/enabled': '1\n',
    'sys/kernel/livepatch/lp_fix/vmlinux/patched': '1\n',
    'sys/fs/pstore/dmesg-efi-1': 'Panic#1\n',
  });
  copyFixture(host, 'kprobes-list', 'sys/kernel/debug/kprobes/list');
  const collected = await collect(kernel, { host, walk: nobody });
  const probes = impound(collected, 'kprobes').map((row) => row.probe as Impound);
  assert.deepEqual(
    probes.map(({ kind, symbol, name, target }) => [kind, symbol ?? name, target]),
    [
      ['kprobe', 'do_sys_openat2+0x0', undefined],
      ['kretprobe', 'hook_me+0x10', undefined],
      ['kprobe', '__x64_sys_kill+0x0', undefined],
      ['kprobe-event', 'kprobes/steal', 'tcp_sendmsg'],
      ['uprobe-event', 'uprobes/pam', '/lib/libpam.so.0:0x0000000000003a40'],
      ['livepatch', 'lp_fix', undefined],
    ],
  );
  assert.deepEqual([probes[1]?.module, probes[1]?.states], ['evilkit', ['DISABLED']]);
  const functions = JSON.parse(collected.artefacts.get('50-kernel/ftrace.json')?.toString() ?? '') as Impound;
  assert.deepEqual([functions.currentTracer, functions.tracingOn], ['function', true]);
  assert.match(String((functions.enabledFunctions as string[])[0]), /evilkit/);
  assert.ok(collected.artefacts.get('50-kernel/raw.tar.zst')?.includes('sys/fs/pstore/dmesg-efi-1'));
  for (const bytes of collected.artefacts.values()) assert.ok(!bytes.includes('must not be read'));

  const bare = await collect(kernel, { host: await machine(t, {}), walk: nobody });
  assert.match(gapAbout(bare, '/sys/kernel/tracing') ?? '', /^absent: tracefs is not mounted/);
  assert.ok(!bare.artefacts.has('50-kernel/ftrace.json'));
});

test('this machine: everything is there or a named gap, within a second or two', {
  skip: needsRoot,
}, async () => {
  const begun = performance.now();
  const collected = await collect(kernel, { walk: nobody });
  assert.ok(performance.now() - begun < 5000, 'bounded');
  assert.ok(impound(collected, 'sysctls').length > 300);
  const log = rowsOf(collected.artefacts.get('50-kernel/dmesg.jsonl'));
  assert.ok(log.length > 0 || gapAbout(collected, '/dev/kmsg') !== undefined);
  for (const [index, row] of log.entries()) assert.ok(typeof row.message === 'string', `record ${index} is a row`);
  assert.deepEqual(
    collected.gaps.filter(({ reason }) => reason === 'failed'),
    [],
  );
  for (const { reason, name, detail } of collected.gaps)
    assert.ok(name !== '' && detail !== undefined, `${reason} ${name}`);
});
