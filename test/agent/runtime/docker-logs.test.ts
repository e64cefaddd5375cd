// Frames of an engine's log stream: cut anywhere, bounded, and hostile.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LogCollector } from '../../../agent/runtime/docker-logs.ts';

function frame(kind: number, content: Uint8Array): Buffer {
  const header = Buffer.alloc(8);
  header[0] = kind;
  header.writeUInt32BE(content.length, 4);
  return Buffer.concat([header, content]);
}

function feed(collector: LogCollector, bytes: Buffer, sizes: readonly number[]): void {
  let at = 0;
  for (let turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    collector.push(bytes.subarray(at, at + size));
    at += size;
  }
}

const frames = fc.array(fc.tuple(fc.constantFrom(1, 2), fc.uint8Array({ maxLength: 40 })), { maxLength: 30 });
const cuts = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 10 });

test('streams are put together however the bytes are cut', () => {
  fc.assert(
    fc.property(frames, cuts, (list, sizes) => {
      const collector = new LogCollector(1_000_000, false);
      feed(collector, Buffer.concat(list.map(([kind, content]) => frame(kind, content))), sizes);
      const tail = collector.end();
      for (const [kind, stream] of [
        [1, 'stdout'],
        [2, 'stderr'],
      ] as const) {
        const wanted = Buffer.concat(list.filter(([of]) => of === kind).map(([, content]) => content));
        assert.deepEqual(tail.streams.get(stream) ?? Buffer.alloc(0), wanted);
      }
      assert.equal(tail.lines, list.length);
      assert.equal(tail.dropped, 0);
    }),
  );
});

test('the newest bytes are kept within the bound, and what was dropped is counted', () => {
  fc.assert(
    fc.property(frames, cuts, fc.integer({ min: 0, max: 200 }), (list, sizes, limit) => {
      const collector = new LogCollector(limit, false);
      feed(collector, Buffer.concat(list.map(([kind, content]) => frame(kind, content))), sizes);
      const tail = collector.end();
      const kept = [...tail.streams.values()].reduce((sum, bytes) => sum + bytes.length, 0);
      const all = list.reduce((sum, [, content]) => sum + content.length, 0);
      assert.ok(kept <= limit);
      assert.equal(kept + tail.dropped, all);
      for (const [kind, stream] of [
        [1, 'stdout'],
        [2, 'stderr'],
      ] as const) {
        const whole = Buffer.concat(list.filter(([of]) => of === kind).map(([, content]) => content));
        const got = tail.streams.get(stream) ?? Buffer.alloc(0);
        assert.deepEqual(got, whole.subarray(whole.length - got.length));
      }
    }),
  );
});

test('bytes that are no frames are kept as one raw stream', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), cuts, (bytes, sizes) => {
      const raw = new LogCollector(1_000_000, true);
      feed(raw, Buffer.from(bytes), sizes);
      assert.deepEqual(raw.end().streams.get('tty') ?? Buffer.alloc(0), Buffer.from(bytes));
    }),
  );
  const text = Buffer.from('2026-01-01T00:00:00Z a terminal said this\r\n');
  const mistaken = new LogCollector(1_000_000, false);
  feed(mistaken, text, [3]);
  assert.deepEqual(mistaken.end().streams.get('tty'), text);
});

test('a frame that claims four gigabytes costs no memory, and an error of the engine is told apart', () => {
  const huge = Buffer.from([1, 0, 0, 0, 255, 255, 255, 255]);
  const collector = new LogCollector(1000, false);
  collector.push(huge);
  for (let i = 0; i < 100; i++) collector.push(Buffer.alloc(1000, 65));
  assert.equal(collector.end().streams.get('stdout')?.length, 1000);
  const failing = new LogCollector(1000, false);
  failing.push(Buffer.concat([frame(1, Buffer.from('a\n')), frame(3, Buffer.from('the driver broke'))]));
  assert.equal(failing.end().engineError, 'the driver broke');
});
