import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { segmentsOf } from '../../../agent/collectors/ram/map.ts';
import { ram } from '../../../agent/collectors/ram.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { type Collected, collect } from '../../helpers/collect.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

const NOWHERE = 0xffff_ffff_ffff_ffffn;
const IMAGE = '50-kernel/ram/memory-000000.lime.zst';

interface Segment {
  readonly type?: number;
  readonly physical: bigint;
  readonly bytes: Buffer;
}

/** A file in the shape of /proc/kcore: one header a segment, their bytes one after the other, pages between. */
function kcoreOf(segments: readonly Segment[]): Buffer {
  const head = Buffer.alloc(4096);
  head.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  head.writeUInt16LE(4, 16);
  head.writeUInt16LE(62, 18);
  head.writeBigUInt64LE(64n, 32);
  head.writeUInt16LE(56, 54);
  head.writeUInt16LE(segments.length, 56);
  const parts: Buffer[] = [head];
  let offset = 4096;
  for (const [index, { type = 1, physical, bytes }] of segments.entries()) {
    const at = 64 + 56 * index;
    head.writeUInt32LE(type, at);
    head.writeBigUInt64LE(BigInt(offset), at + 8);
    head.writeBigUInt64LE(0xffff888000000000n + (physical === NOWHERE ? 0n : physical), at + 16);
    head.writeBigUInt64LE(physical, at + 24);
    head.writeBigUInt64LE(BigInt(bytes.length), at + 32);
    head.writeBigUInt64LE(BigInt(bytes.length), at + 40);
    parts.push(bytes);
    offset += bytes.length;
  }
  return Buffer.concat(parts);
}

function note(name: string, text: string): Buffer {
  const pad = (size: number): number => Math.ceil(size / 4) * 4;
  const bytes = Buffer.alloc(12 + pad(name.length + 1) + pad(text.length));
  bytes.writeUInt32LE(name.length + 1, 0);
  bytes.writeUInt32LE(text.length, 4);
  bytes.write(name, 12);
  bytes.write(text, 12 + pad(name.length + 1));
  return bytes;
}

/** Pages that each say which they are. */
function pages(physical: number, count: number): Buffer {
  return Buffer.concat(
    Array.from({ length: count }, (_, index) => Buffer.alloc(4096, `page ${(physical + 4096 * index).toString(16)} `)),
  );
}

async function captured(t: TestContext, files: Readonly<Record<string, string | Buffer>>): Promise<Collected> {
  const root = await temporaryFolder(t);
  await mkdir(join(root, 'sys/kernel/btf'), { recursive: true });
  await mkdir(join(root, 'sys/kernel/security'));
  await mkdir(join(root, 'proc'));
  for (const [name, content] of Object.entries(files)) await writeFile(join(root, name), content);
  return collect(ram, { host: hostAt(root), profile: 'full' });
}

interface LimeRange {
  readonly start: bigint;
  readonly bytes: Buffer;
}

/** As LiME's own description has it. */
function parseLime(image: Buffer): readonly LimeRange[] {
  const ranges: LimeRange[] = [];
  for (let at = 0; at < image.length; ) {
    assert.equal(image.toString('latin1', at, at + 4), 'EMiL');
    assert.equal(image.readUInt32LE(at + 4), 1);
    const start = image.readBigUInt64LE(at + 8);
    const size = Number(image.readBigUInt64LE(at + 16) - start) + 1;
    assert.equal(image.readBigUInt64LE(at + 24), 0n);
    ranges.push({ start, bytes: image.subarray(at + 32, at + 32 + size) });
    assert.equal(ranges.at(-1)?.bytes.length, size);
    at += 32 + size;
  }
  return ranges;
}

const IOMEM = `00000000-00000fff : Reserved
00001000-00004bff : System RAM
00100000-004fffff : System RAM
  00200000-002fffff : Kernel code
  00200000-002fffff : System RAM inside of another
00600000-00600fff : PCI Bus 0000:00
100000000-100001fff : System RAM
`;
const SEGMENTS: readonly Segment[] = [
  { type: 4, physical: 0n, bytes: Buffer.concat([note('CORE', 'other'), note('VMCOREINFO', 'OSRELEASE=6.1\n')]) },
  { physical: 0x200000n, bytes: pages(0x200000, 2) }, // the kernel's text, mapped once more
  { physical: NOWHERE, bytes: pages(0xdead000, 3) }, // vmalloc
  { physical: 0x1000n, bytes: pages(0x1000, 4) },
  { physical: 0x100000n, bytes: pages(0x100000, 1024) },
];

test("physical memory's ranges stand in the image, each with its bytes; what no segment holds is a gap", async (t) => {
  const { artefacts, gaps } = await captured(t, {
    'proc/kcore': kcoreOf(SEGMENTS),
    'proc/iomem': IOMEM,
    'proc/kallsyms': 'ffffffff81000000 T _text\n',
    'sys/kernel/btf/vmlinux': 'types',
  });
  assert.deepEqual(parseLime(artefacts.get(IMAGE) ?? Buffer.alloc(0)), [
    { start: 0x1000n, bytes: pages(0x1000, 4).subarray(0, 0x3c00) },
    { start: 0x100000n, bytes: pages(0x100000, 1024) },
  ]);
  assert.deepEqual(gaps, [
    {
      reason: 'unsupported',
      name: 'physical memory 100000000-100001fff',
      detail: 'no segment of /proc/kcore says that it holds this memory',
    },
  ]);
  assert.equal(artefacts.get('50-kernel/ram/vmcoreinfo')?.toString(), 'OSRELEASE=6.1\n');
  assert.equal(artefacts.get('50-kernel/ram/btf.zst')?.toString(), 'types');
  assert.equal(artefacts.get('50-kernel/ram/kallsyms.zst')?.toString(), 'ffffffff81000000 T _text\n');
  assert.equal(artefacts.get('50-kernel/ram/iomem')?.toString(), IOMEM);
});

test('memory that cannot be read becomes zeros and a gap, and what is around it is kept', async (t) => {
  const whole = kcoreOf(SEGMENTS);
  const lost = 0x5000;
  const { artefacts, gaps } = await captured(t, {
    'proc/kcore': whole.subarray(0, whole.length - lost),
    'proc/iomem': IOMEM,
  });
  const [, range] = parseLime(artefacts.get(IMAGE) ?? Buffer.alloc(0));
  const expected = pages(0x100000, 1024);
  expected.fill(0, expected.length - lost);
  assert.deepEqual(range?.bytes, expected);
  assert.deepEqual(
    gaps.filter(({ reason }) => reason === 'failed').map(({ name }) => name),
    ['physical memory 4fb000-4fffff'],
  );
  assert.deepEqual(gaps.filter(({ reason }) => reason === 'absent').length, 2);
});

test('without addresses, without /proc/kcore or from a strange file there is a gap and no image', async (t) => {
  const hidden = '00000000-00000000 : Reserved\n00000000-00000000 : System RAM\n';
  const unprivileged = await captured(t, { 'proc/kcore': kcoreOf(SEGMENTS), 'proc/iomem': hidden });
  const absent = await captured(t, { 'proc/iomem': IOMEM });
  const strange = await captured(t, { 'proc/kcore': 'no core at all', 'proc/iomem': IOMEM });
  const zeros = SEGMENTS.map((segment) => ({ ...segment, physical: 0n }));
  const old = await captured(t, { 'proc/kcore': kcoreOf(zeros), 'proc/iomem': IOMEM });
  const outcomes = [unprivileged, absent, strange, old].map(({ gaps, artefacts }) => [gaps[0]?.reason, artefacts.size]);
  assert.deepEqual(outcomes, [
    ['denied', 0],
    ['absent', 0],
    ['unsupported', 0],
    ['unsupported', 0],
  ]);
});

test('symbols without addresses are stored, and are a gap', async (t) => {
  const core = { 'proc/kcore': kcoreOf(SEGMENTS), 'proc/iomem': IOMEM };
  const zeros = '0000000000000000 T _text\n'.repeat(20_000);
  const hidden = await captured(t, { ...core, 'proc/kallsyms': zeros });
  assert.equal(hidden.artefacts.get('50-kernel/ram/kallsyms.zst')?.toString(), zeros);
  const denied = hidden.gaps.filter(({ reason }) => reason === 'denied');
  assert.deepEqual(
    denied.map(({ name, detail }) => [name, detail]),
    [['addresses in /proc/kallsyms', 'all are zero: they take CAP_SYSLOG and kernel.kptr_restrict below 2']],
  );
  const shown = await captured(t, { ...core, 'proc/kallsyms': `${zeros}ffffffff81000000 T _text\n` });
  assert.deepEqual(
    shown.gaps.filter(({ reason }) => reason === 'denied'),
    [],
  );
});

test('a head that lies is survived', async (t) => {
  const core = kcoreOf(SEGMENTS);
  core.writeUInt16LE(0xffff, 56); // headers that are not there
  core.writeBigUInt64LE(2n ** 62n, 64 + 32); // a note without an end
  core.writeBigUInt64LE(2n ** 62n, 64 + 56 * 4 + 8); // memory beyond the file
  const { artefacts } = await captured(t, { 'proc/kcore': core, 'proc/iomem': IOMEM });
  assert.equal(
    parseLime(artefacts.get(IMAGE) ?? Buffer.alloc(0))
      .at(-1)
      ?.bytes.every((byte) => byte === 0),
    true,
  );
});

test('a memory larger than one artefact may be is several, which are one after the other', () => {
  const pieces = [
    { start: 0x1000n, end: 0x1fffn, offset: 0n },
    { start: 0x10000n, end: 0x14fffn, offset: 0x5000n },
  ];
  const segments = segmentsOf(pieces, 0x3000n);
  assert.deepEqual(segments, [
    [
      { start: 0x1000n, end: 0x1fffn, offset: 0n },
      { start: 0x10000n, end: 0x11fffn, offset: 0x5000n },
    ],
    [{ start: 0x12000n, end: 0x14fffn, offset: 0x7000n }],
  ]);
});
