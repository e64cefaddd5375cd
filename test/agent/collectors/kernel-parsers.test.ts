// The kernel's tables and records, line by line.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { kmsgRow } from '../../../agent/collectors/kernel/dmesg.ts';
import { fdinfoFields } from '../../../agent/collectors/kernel/ebpf.ts';
import { parseKey, parseKeyUser } from '../../../agent/collectors/kernel/keyrings.ts';
import { parseModule } from '../../../agent/collectors/kernel/modules.ts';
import { event, kprobe } from '../../../agent/collectors/kernel/probes.ts';
import { bpfSymbol, ownerOf } from '../../../agent/collectors/kernel/symbols.ts';
import { syslogRow } from '../../../agent/collectors/kernel/syslog.ts';
import { decodeTaint } from '../../../agent/collectors/kernel/taint.ts';

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

interface SyslogRow {
  readonly '@timestamp': string;
  readonly message: string;
  readonly message_base64?: string;
  readonly log: { readonly syslog: { readonly priority: number } };
  readonly event: { readonly original: string; readonly original_base64?: string };
  readonly impound: { readonly monotonicMicroseconds: number };
}

test('a line of syslog(2) becomes a row of the same form, with the line as it was read', () => {
  const boot = Date.UTC(2024, 0, 1);
  const lines = readFileSync(new URL('../../fixtures/kernel/syslog', import.meta.url), 'latin1').split('\n');
  const rows = lines.slice(0, -1).map((line) => {
    const row = syslogRow(Buffer.from(line, 'latin1'), boot, true) ?? assert.fail(line);
    return row as unknown as SyslogRow;
  });
  const fields = rows.map(({ log, impound, message }) => [log.syslog.priority, impound.monotonicMicroseconds, message]);
  assert.deepEqual(fields, [
    [6, 57_155_888_160, 'EXT4-fs (loop1): unmounting filesystem 3c473b29-761d-4a7c-bc5f-70b389efb836.'],
    [6, 57_452_015_221, 'loop0: detected capacity change from 0 to 65536'],
    [14, 60_617_660_387, 'two lines: the first'],
    [14, 60_617_660_387, '<0>[    0.000000] and the second, by whoever wrote both'],
    [12, 60_617_660_503, '\u001b[31mred\ufffd'],
    [12, 60_617_662_051, ''],
  ]);
  assert.equal(rows[0]?.['@timestamp'], '2024-01-01T15:52:35.888Z');
  assert.deepEqual(rows[0]?.log, { syslog: { priority: 6, severity: { code: 6 }, facility: { code: 0 } } });
  assert.equal(rows[4]?.message_base64, Buffer.from('\x1b[31mred\xff', 'latin1').toString('base64'));
  for (const [index, { event }] of rows.entries()) {
    const { original, original_base64: raw } = event;
    assert.equal(raw === undefined ? original : Buffer.from(raw, 'base64').toString('latin1'), lines[index]);
  }
});

test('who wrote a line is told where the kernel says it, and no text is taken for a time or a caller', () => {
  const row = (line: string, timed = true): Record<string, unknown> | undefined =>
    syslogRow(Buffer.from(line), 0, timed);
  const called = row('<4>[   12.000001][ T3587] cut here');
  assert.deepEqual(
    [called?.message, called?.impound],
    ['cut here', { monotonicMicroseconds: 12_000_001, fields: ['caller=T3587'] }],
  );
  assert.equal(row('<4>[   12.000001] [    T1] text')?.message, '[    T1] text');
  const untimed = row('<12>[   55.000000] text', false);
  assert.deepEqual(
    [untimed?.message, untimed?.impound, '@timestamp' in (untimed ?? {})],
    ['[   55.000000] text', {}, false],
  );
  assert.equal(row('<12>not a time')?.message, 'not a time');
  for (const line of ['', 'text', '<>text', '<x>text', '<1234567>text', ' <6>text']) assert.equal(row(line), undefined);
});

test('property: no parser of the kernel’s tables throws, whatever the bytes', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.string({ unit: fc.constantFrom(...'0123456789abcdef:;,/[]()+- \t\n'), maxLength: 300 }),
  );
  fc.assert(
    fc.property(text, fc.option(fc.double(), { nil: undefined }), (line, boot) => {
      kmsgRow(Buffer.from(line), boot);
      for (const timed of [true, false]) syslogRow(Buffer.from(line), boot, timed);
      for (const parse of [parseModule, parseKey, parseKeyUser, kprobe, ownerOf, bpfSymbol, fdinfoFields]) parse(line);
      event('kprobe-event', line);
      decodeTaint(line, line);
    }),
    { numRuns: 1000 },
  );
});
