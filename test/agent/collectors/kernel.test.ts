import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { kmsgRow } from '../../../agent/collectors/kernel/dmesg.ts';
import { fdinfoFields } from '../../../agent/collectors/kernel/ebpf.ts';
import { parseKey, parseKeyUser } from '../../../agent/collectors/kernel/keyrings.ts';
import { parseModule } from '../../../agent/collectors/kernel/modules.ts';
import { event, kprobe } from '../../../agent/collectors/kernel/probes.ts';
import { bpfSymbol, ownerOf } from '../../../agent/collectors/kernel/symbols.ts';
import { decodeTaint } from '../../../agent/collectors/kernel/taint.ts';
import { kernel } from '../../../agent/collectors/kernel.ts';
import { type Host, hostAt } from '../../../agent/host/host.ts';
import type { ProcessSummary, ProcessWalk } from '../../../agent/host/walk.ts';
import { type Collected, collect, rowsOf } from '../../helpers/collect.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

type Impound = Record<string, unknown>;

const asRoot = process.getuid?.() === 0;
const nobody = walkOf();

/** A walk that has ended and seen `processes`. */
function walkOf(...processes: readonly ProcessSummary[]): ProcessWalk {
  return { index: () => Promise.resolve(processes), async *records() {}, gaps: () => [], leftBehind: () => false };
}

/** A machine's /proc, /sys and /dev in a temporary folder: text by path; each path ends up below the root. */
async function machine(t: TestContext, files: Readonly<Record<string, string>>): Promise<Host> {
  const root = await temporaryFolder(t);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  for (const directory of ['proc/sys/kernel', 'sys/module', 'sys/fs/bpf', 'sys/fs/pstore'])
    mkdirSync(join(root, directory), { recursive: true });
  return hostAt(root);
}

function copyFixture(host: Host, name: string, path: string): void {
  mkdirSync(dirname(join(host.root, path)), { recursive: true });
  copyFileSync(new URL(`../../fixtures/kernel/${name}`, import.meta.url), join(host.root, path));
}

function impound(collected: Collected, name: string): Impound[] {
  return rowsOf(collected.artefacts.get(`50-kernel/${name}.jsonl`)).map((row) => row.impound as Impound);
}

function gapAbout(collected: Collected, name: string): string | undefined {
  const found = collected.gaps.find((gap) => gap.name === name);
  return found === undefined ? undefined : `${found.reason}: ${found.detail}`;
}

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

test('taint is decoded bit by bit, and a module it tells of that is not there is named', () => {
  assert.deepEqual(decodeTaint('0\n', ''), { value: '0', flags: [], withoutModule: '' });
  const taint = decodeTaint('12289\n', 'P');
  assert.deepEqual(
    taint?.flags.map(({ bit, letter }) => [bit, letter]),
    [
      [0, 'P'],
      [12, 'O'],
      [13, 'E'],
    ],
  );
  assert.equal(taint?.withoutModule, 'OE');
  assert.equal(decodeTaint('12289', undefined)?.withoutModule, undefined);
  assert.deepEqual(
    decodeTaint('524800', '')?.flags.map(({ letter }) => letter),
    ['W', 'J'],
  );
  assert.equal(decodeTaint('9223372036854775808', '')?.flags[0]?.bit, 63);
  assert.equal(decodeTaint('tainted', ''), undefined);
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
  assert.match(gapAbout(collected, '/dev/kmsg') ?? '', /^skipped: not the character device/);
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

test('keys: type, description, owner and expiry are read', () => {
  const rows = readFileSync(new URL('../../fixtures/kernel/keys', import.meta.url), 'latin1')
    .trimEnd()
    .split('\n')
    .map(parseKey);
  assert.equal(rows.length, 4);
  assert.deepEqual(rows[3], {
    user: { id: '1000' },
    group: { id: '1000' },
    impound: {
      key: {
        serial: '291382e5',
        flags: 'I--Q---',
        usage: 1,
        expiry: '3d',
        permissions: '3f030000',
        type: 'logon',
        description: 'ext4:1234567890abcdef: 72',
      },
    },
  });
  assert.ok(parseKeyUser('    0:     9 8/8 3/1000000 40/25000000'));
});

test('a log record becomes a row with its time, facility and exact text', () => {
  const row = kmsgRow(
    Buffer.from('6,339,5140900,-,caller=T1;NET: a;b \\x1b[31m\\xff\n SUBSYSTEM=pci\n DEVICE=+pci:0000\n'),
    Date.UTC(2024, 0, 1),
  );
  assert.equal(row?.['@timestamp'], '2024-01-01T00:00:05.140Z');
  assert.equal(row?.message_base64, Buffer.from('NET: a;b \x1b[31m\xff', 'latin1').toString('base64'));
  assert.deepEqual(row?.log, { syslog: { priority: 6, severity: { code: 6 }, facility: { code: 0 } } });
  assert.deepEqual(row?.impound, {
    monotonicMicroseconds: 5_140_900,
    fields: ['caller=T1'],
    dictionary: ['SUBSYSTEM=pci', 'DEVICE=+pci:0000'],
  });
});

test('property: no parser of the kernel’s tables throws, whatever the bytes', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.string({ unit: fc.constantFrom(...'0123456789abcdef:;,/[]()+- \t\n'), maxLength: 300 }),
  );
  fc.assert(
    fc.property(text, fc.option(fc.double(), { nil: undefined }), (line, boot) => {
      kmsgRow(Buffer.from(line), boot);
      for (const parse of [parseModule, parseKey, parseKeyUser, kprobe, ownerOf, bpfSymbol, fdinfoFields]) parse(line);
      event('kprobe-event', line);
      decodeTaint(line, line);
    }),
    { numRuns: 1000 },
  );
});

test('this machine: everything is there or a named gap, within a second or two', {
  skip: asRoot ? false : 'takes root',
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
