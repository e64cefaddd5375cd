// The kernel's log of this machine where /dev/kmsg is denied or not there: by syslog(2), or a gap that says why not.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { kmsgRefusal } from '../../../agent/collectors/kernel/dmesg.ts';
import { kernel } from '../../../agent/collectors/kernel.ts';
import { type Host, hostAt } from '../../../agent/host/host.ts';
import { programs } from '../../../agent/programs/run.ts';
import { moduleAt, without } from '../../helpers/capabilities.ts';
import { type Collected, collect, rowsOf } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { gapAbout, type Impound, machine } from '../../helpers/kernel-machine.ts';
import { needsRoot, smallDisk } from '../../helpers/small-disk.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';
import { walkThatSaw } from '../../helpers/walk.ts';

const root = { skip: needsRoot };
const noDevice = kmsgRefusal('/dev/kmsg') === undefined ? false : '/dev/kmsg cannot be read here';
const rootAndDevice = { skip: needsRoot || noDevice };
const REDUCED = "sequence numbers and dictionaries in the kernel's log";
const nobody = walkThatSaw();

interface Row {
  readonly '@timestamp'?: string;
  readonly message?: string;
  readonly message_base64?: string;
  readonly log: { readonly syslog: { readonly priority: number } };
  readonly event: Impound;
  readonly impound: Impound;
}

const logOf = ({ artefacts }: Collected): readonly Row[] =>
  rowsOf(artefacts.get('50-kernel/dmesg.jsonl')) as unknown as readonly Row[];
const exactly = (base64: unknown): string => Buffer.from(String(base64), 'base64').toString('latin1');
const ofDmesg = ({ footprint }: Collected): Collected['footprint'] =>
  footprint.filter(({ name, detail }) => /dmesg/.test(`${name} ${detail}`));

/** This machine, whose /dev/kmsg is the real one on a mount that lets nobody open devices. */
async function withoutDevices(t: TestContext): Promise<Host> {
  const disk = await smallDisk(t, 1);
  mkdirSync(join(disk, 'dev'));
  execFileSync('mknod', [join(disk, 'dev/kmsg'), 'c', '1', '11']);
  execFileSync('mount', ['-o', 'remount,nodev', disk]);
  return hostAt(disk, { proc: '/proc', sys: '/sys' });
}

/** What is collected where "dmesg" is this shell script, and without one is nowhere. */
async function withProgram(t: TestContext, script: string | undefined, host: Host): Promise<Collected> {
  const folder = await temporaryFolder(t);
  if (script !== undefined) writeFileSync(join(folder, 'dmesg'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return collect(kernel, { host, walk: nobody, programs: programs(() => undefined, [folder]) });
}

/** Time, priority and text of each line. */
function linesOf(rows: readonly Row[]): readonly string[] {
  return rows.flatMap(({ message, message_base64: raw, log, impound }) => {
    const at = String(impound.monotonicMicroseconds).padStart(16, '0');
    const text = raw === undefined ? String(message) : exactly(raw);
    return text.split('\n').map((line) => `${at} ${log.syslog.priority} ${line}`);
  });
}

/** Of both what lies strictly between the later of their beginnings and the end of the first. */
function overlap(first: readonly string[], second: readonly string[]): readonly (readonly string[])[] {
  const time = (line: string | undefined): string => (line ?? '').slice(0, 16);
  const [, from = ''] = [time(first[0]), time(second[0])].sort();
  const to = time(first.at(-1));
  return [first, second].map((lines) => lines.filter((line) => time(line) > from && time(line) < to));
}

test('denied /dev/kmsg, the same lines come by syslog(2), also what somebody forged', rootAndDevice, async (t) => {
  if (!needs(t, 'dmesg')) return;
  const mark = randomUUID();
  const forged = '<0>[    0.000000] forged \\x1b \x1b[2J\xff';
  writeFileSync('/dev/kmsg', Buffer.from(`<14>${mark}\n${forged}\n`, 'latin1'));
  const collected = await collect(kernel, { host: await withoutDevices(t), walk: nobody });
  const rows = logOf(collected);
  const others = logOf(await collect(kernel, { walk: nobody }));
  const [first, second] = rows.slice(rows.findIndex(({ message }) => message === mark));
  assert.ok(first !== undefined && second !== undefined);
  assert.equal(exactly(second.message_base64), forged);
  const original = exactly(second.event.original_base64);
  assert.match(original, /^<14>\[ *\d+\.\d{6}\] <0>/);
  assert.ok(original.endsWith(`] ${forged}`));
  assert.deepEqual([second.log, second.impound], [first.log, first.impound]);
  const whole = others.find(({ message_base64: raw }) => raw !== undefined && exactly(raw) === `${mark}\n${forged}`);
  assert.ok(second['@timestamp'] !== undefined && second['@timestamp'] === whole?.['@timestamp']);

  // the oldest are overwritten and new ones come between the two
  const [lines = [], expected] = overlap(linesOf(rows), linesOf(others));
  assert.ok(lines.length > 0);
  assert.deepEqual(lines, expected);

  assert.match(gapAbout(collected, REDUCED) ?? '', /^denied: takes CAP_SYSLOG.*read by syslog\(2\).*dmesg --clear/);
  assert.equal(gapAbout(collected, '/dev/kmsg'), undefined);
  assert.deepEqual(
    ofDmesg(collected).map(({ kind }) => kind),
    ['program', 'process'],
  );
  assert.match(ofDmesg(collected)[0]?.detail ?? '', /^dmesg from util-linux .*, sha256:[0-9a-f]{64}$/);
});

test('where /dev/kmsg can be read, no program is run for it', rootAndDevice, async () => {
  const collected = await collect(kernel, { walk: nobody });
  assert.ok(logOf(collected).every(({ event }) => typeof event.sequence === 'number'));
  assert.equal(gapAbout(collected, REDUCED), undefined);
  assert.deepEqual(ofDmesg(collected), []);
});

test('without CAP_SYSLOG neither is had, and both are said', root, async (t) => {
  if (!needs(t, 'dmesg')) return;
  if (readFileSync('/proc/sys/kernel/dmesg_restrict', 'latin1').trim() === '0') return t.skip('dmesg_restrict is 0');
  const { log, gaps } = (await without(
    t,
    'syslog',
    `import { collect } from ${moduleAt('test/helpers/collect.ts')};
    import { walkThatSaw } from ${moduleAt('test/helpers/walk.ts')};
    import { kernel } from ${moduleAt('agent/collectors/kernel.ts')};
    const { artefacts, gaps } = await collect(kernel, { walk: walkThatSaw() });
    console.log(JSON.stringify({ log: String(artefacts.get('50-kernel/dmesg.jsonl')), gaps }));`,
  )) as { readonly log: string; readonly gaps: Collected['gaps'] };
  assert.equal(log, '');
  const said = gaps.map(({ reason, name, detail }) => `${reason} ${name}: ${detail}`);
  assert.ok(said.includes('denied /dev/kmsg: takes CAP_SYSLOG, and the device cgroup must allow c 1:11'));
  const why = said.find((one) => one.startsWith('failed dmesg --syslog: ')) ?? '';
  assert.match(why, /ended with 1: .*Operation not permitted; it takes CAP_SYSLOG, and util-linux/);
});

test('where dmesg is not installed that is said, with what brings it', async (t) => {
  const collected = await withProgram(t, undefined, await machine(t, {}));
  assert.deepEqual(logOf(collected), []);
  assert.equal(gapAbout(collected, '/dev/kmsg'), 'absent: not there');
  assert.match(gapAbout(collected, 'dmesg --syslog') ?? '', /^unsupported: dmesg is not in .*; install util-linux/);
});

test('what a program that fails had given is kept; what is no line of the kernel stands unparsed', root, async (t) => {
  const host = await machine(t, { 'sys/module/printk/parameters/time': 'N\n' });
  const script = `printf '<6>[   55.000000] text\\nno line\\n<4>unended'; echo broken >&2; exit 3`;
  const collected = await withProgram(t, script, host);
  assert.deepEqual(
    logOf(collected).map(({ message, impound }) => message ?? impound),
    ['[   55.000000] text', { unparsed: Buffer.from('no line').toString('base64') }, 'unended'],
  );
  assert.match(gapAbout(collected, REDUCED) ?? '', /^absent: not there; the log was read by syslog/);
  assert.match(gapAbout(collected, 'dmesg --syslog') ?? '', /^failed: \S+\/dmesg ended with 3: broken/);
  assert.match(gapAbout(collected, "times in the kernel's log") ?? '', /^absent: printk.time is off/);
  assert.match(
    gapAbout(collected, 'syslog(2) by dmesg --syslog') ?? '',
    /^failed: 1 records could not be read as rows/,
  );
});

test(
  'a log without an end is cut at its bound, and one that fills the buffer may have lost its oldest',
  root,
  async (t) => {
    const endless = await withProgram(t, 'exec tr "\\\\0" x </dev/zero', await machine(t, {}));
    assert.ok(logOf(endless).length < 100);
    assert.match(gapAbout(endless, 'dmesg --syslog') ?? '', /^truncated: limit of \d+ bytes/);
    const full = await withProgram(t, 'exec head -c 67108864 /dev/zero', await machine(t, {}));
    assert.match(gapAbout(full, 'dmesg --syslog') ?? '', /^truncated: limit of \d+ bytes, the newest/);
  },
);
