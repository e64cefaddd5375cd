import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { listen } from '../../../agent/collectors/packets/capture.ts';
import { type PcapEnd, wholeRecords } from '../../../agent/collectors/packets/whole-records.ts';
import { packets } from '../../../agent/collectors/packets.ts';
import { collect } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { python } from '../../helpers/programs.ts';
import { needsRoot } from '../../helpers/small-disk.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

/** A process in a network namespace of its own that sends a datagram of `bytes` ten times a second. */
async function beacon(t: TestContext, bytes: number): Promise<{ readonly pid: number; readonly netns: number }> {
  const source = `
import ctypes, os, socket, subprocess, sys, time
assert ctypes.CDLL(None, use_errno=True).unshare(0x40000000) == 0
subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print(os.readlink('/proc/self/ns/net')[5:-1], flush=True)
while True:
    s.sendto(b'beacon' + b'x' * int(sys.argv[1]), ('127.0.0.1', 9999)); time.sleep(0.1)
`;
  const { pid, line } = await python(t, source, [String(bytes)]);
  return { pid, netns: Number(line) };
}

/** What tcpdump itself makes of it. */
async function readBack(t: TestContext, pcap: Buffer | undefined): Promise<readonly string[]> {
  const file = join(await temporaryFolder(t), 'file.pcap');
  await writeFile(file, pcap ?? '');
  return execFileSync('tcpdump', ['-n', '-A', '-r', file], { stdio: ['ignore', 'pipe', 'pipe'] })
    .toString()
    .split('\n');
}

test("a suspect's packets are in a pcap that is whole, and its interface was not made promiscuous", {
  skip: needsRoot,
}, async (t) => {
  if (!needs(t, 'tcpdump', 'nsenter', 'ip')) return;
  const { pid, netns } = await beacon(t, 10);
  const { artefacts, gaps, footprint } = await collect(packets, { suspects: [{ kind: 'pid', pid }], watch: 1 });
  assert.deepEqual([...artefacts.keys()], [`20-network/${netns}.pcap`]);
  const lines = await readBack(t, artefacts.get(`20-network/${netns}.pcap`));
  assert.ok(lines.filter((line) => /127\.0\.0\.1\.9999: UDP/.test(line)).length >= 5);
  assert.ok(lines.some((line) => line.includes('beaconxxxxxxxxxx')));
  assert.deepEqual(gaps, []);
  assert.ok(footprint.some(({ kind, detail }) => kind === 'process' && / -i any -p /.test(detail ?? '')));
});

test('nothing is listened to without a suspect, nor where watching is switched off', async () => {
  const without = await collect(packets, { watch: 1 });
  assert.deepEqual([without.artefacts.size, without.gaps], [0, []]);
  const off = await collect(packets, { suspects: [{ kind: 'pid', pid: process.pid }], watch: 0 });
  assert.deepEqual([off.artefacts.size, off.gaps.map(({ reason }) => reason)], [0, ['skipped']]);
});

test('the limit of bytes ends it between two packets, and says when', { skip: needsRoot }, async (t) => {
  if (!needs(t, 'tcpdump', 'nsenter', 'ip')) return;
  const { pid, netns } = await beacon(t, 1000);
  const place = { path: `/proc/${pid}/ns/net`, inode: netns };
  let truncated: (() => string | undefined) | undefined;
  const { artefacts, gaps } = await collect({
    ...packets,
    async *collect(context) {
      const capture = await listen(context, 'the pcap', place, 5, 3000);
      if ('kind' in capture) throw new Error(capture.detail);
      yield { kind: 'artefact', path: 'cut.pcap', source: 'tcpdump', ...capture };
      truncated = capture.truncated;
    },
  });
  const content = artefacts.get('cut.pcap') ?? Buffer.alloc(0);
  assert.ok(content.length > 1000 && content.length <= 3000);
  assert.ok((await readBack(t, content)).some((line) => line.includes('beacon')));
  assert.match(truncated?.() ?? '', /^limit of 3000 bytes: it ended after \d of 5 s$/);
  assert.deepEqual(
    gaps.map(({ reason }) => reason),
    ['truncated'],
  );
});

test('a namespace that ends while it is listened to keeps what was said', { skip: needsRoot }, async (t) => {
  if (!needs(t, 'tcpdump', 'nsenter', 'ip')) return;
  const { pid, netns } = await beacon(t, 10);
  const ending = setTimeout(() => process.kill(pid, 'SIGKILL'), 1200);
  t.after(() => clearTimeout(ending));
  const { artefacts } = await collect(packets, { suspects: [{ kind: 'pid', pid }], watch: 2 });
  assert.ok((await readBack(t, artefacts.get(`20-network/${netns}.pcap`))).some((line) => line.includes('beacon')));
});

test('a capture that is stopped leaves a whole pcap and no tcpdump behind', { skip: needsRoot }, async (t) => {
  if (!needs(t, 'tcpdump', 'nsenter', 'ip')) return;
  const { pid, netns } = await beacon(t, 10);
  const stopping = new AbortController();
  const timer = setTimeout(() => stopping.abort(), 2500);
  t.after(() => clearTimeout(timer));
  const suspects = [{ kind: 'pid', pid }] as const;
  const { artefacts, gaps, footprint } = await collect(packets, { suspects, watch: 60, signal: stopping.signal });
  assert.ok((await readBack(t, artefacts.get(`20-network/${netns}.pcap`))).some((line) => line.includes('beacon')));
  assert.deepEqual(
    gaps.map(({ detail }) => detail),
    ['the capture was stopped'],
  );
  const started = footprint.flatMap(({ kind, name }) => (kind === 'process' ? [name.replace('pid ', '/proc/')] : []));
  assert.deepEqual(
    started.filter((folder) => existsSync(folder)),
    [],
  );
});

function pcap(order: 'LE' | 'BE', ...lengths: readonly number[]): Buffer {
  const number = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    if (order === 'LE') bytes.writeUInt32LE(value);
    else bytes.writeUInt32BE(value);
    return bytes;
  };
  const header = Buffer.concat([number(0xa1b2c3d4), Buffer.alloc(20)]);
  const records = lengths.map((length) =>
    Buffer.concat([Buffer.alloc(8), number(length), number(length), Buffer.alloc(Math.min(length, 100_000), 7)]),
  );
  return Buffer.concat([header, ...records]);
}

async function cutAt(
  bytes: Buffer,
  step: number,
  bound: number,
): Promise<{ readonly size: number; readonly end: PcapEnd }> {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
  }
  const end: PcapEnd = { kind: 'ended', records: 0, cut: 0 };
  let size = 0;
  for await (const chunk of wholeRecords(chunks(), bound, end)) size += chunk.length;
  return { size, end };
}

test('records are cut between two, wherever the stream is torn', async () => {
  for (const order of ['LE', 'BE'] as const) {
    const whole = pcap(order, 10, 0, 500);
    for (const step of [1, 7, 24, 1000]) {
      assert.deepEqual(await cutAt(whole, step, 1e9), { size: 582, end: { kind: 'ended', records: 3, cut: 0 } });
      const torn = await cutAt(whole.subarray(0, 500), step, 1e9);
      assert.deepEqual(torn, { size: 66, end: { kind: 'ended', records: 2, cut: 434 } });
      const full = await cutAt(whole, step, 581);
      assert.deepEqual([full.size, full.end.kind], [66, 'full']);
    }
  }
  assert.equal((await cutAt(pcap('LE', 10, 0xffffffff, 10), 1000, 1e9)).end.kind, 'malformed');
  assert.deepEqual((await cutAt(Buffer.from('no pcap at all, but long enough'), 1000, 1e9)).size, 0);
});
