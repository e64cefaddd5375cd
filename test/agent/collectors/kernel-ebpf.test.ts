// eBPF objects, with a real program and a real map.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { kernel } from '../../../agent/collectors/kernel.ts';
import type { ProcessSummary } from '../../../agent/host/walk.ts';
import { collect, rowsOf } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { walkThatSaw } from '../../helpers/walk.ts';

type Impound = Record<string, unknown>;

test('an eBPF program and a map that a process holds are rows, with what fdinfo and the kernel say', async (t) => {
  if (!needs(t, 'bpftool', 'python3')) return;
  if (process.getuid?.() !== 0) return t.skip('takes root');
  const child = spawn('python3', ['-c', LOADS_BPF], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(async () => {
    const ended = once(child, 'close');
    if (child.exitCode === null) {
      child.kill('SIGKILL');
      await ended;
    }
  });
  let said = '';
  for await (const line of createInterface({ input: child.stdout })) {
    said = line;
    break;
  }
  if (said.startsWith('no bpf')) return t.skip(said);
  const owner: ProcessSummary = { pid: child.pid ?? 0, startTicks: '1', comm: 'python3', sockets: [] };
  const collected = await collect(kernel, { walk: walkThatSaw(owner) });
  const rows = rowsOf(collected.artefacts.get('50-kernel/ebpf.jsonl'));
  const held = rows
    .map((row): Impound => ({ process: row.process, ...((row.impound as Impound).ebpf as Impound) }))
    .filter((row) => row.seen === 'descriptor');
  assert.deepEqual(
    held.map(({ kind, type }) => [kind, type]),
    [
      ['map', 'array'],
      ['program', 'socket_filter'],
    ],
  );
  assert.deepEqual(held[1]?.process, { pid: child.pid, name: 'python3' });
  const info = held[1]?.fdinfo as Record<string, string>;
  assert.match(info.prog_tag ?? '', /^[0-9a-f]{16}$/);
  assert.match(info.prog_id ?? '', /^\d+$/);
  const listed = rows
    .map((row) => (row.impound as Impound).ebpf as Impound)
    .filter(({ seen, kind }) => seen === 'kernel' && kind === 'program');
  assert.ok(
    listed.some(({ id, type, name }) => String(id) === info.prog_id && type === 'socket_filter' && name === 'probe'),
    JSON.stringify(listed),
  );
});

/** bpf(2): BPF_MAP_CREATE and BPF_PROG_LOAD of "r0 = 0; exit". */
const LOADS_BPF = `
import ctypes, os, platform, struct, time
libc = ctypes.CDLL(None, use_errno=True)
number = {'x86_64': 321, 'aarch64': 280}[platform.machine()]
def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes)
    return libc.syscall(number, command, buffer, len(attributes))
kept = bpf(0, struct.pack('IIIII', 2, 4, 8, 16, 0).ljust(72, b'\\0'))
code = ctypes.create_string_buffer(struct.pack('BBhi', 0xb7, 0, 0, 0) + struct.pack('BBhi', 0x95, 0, 0, 0))
licence = ctypes.create_string_buffer(b'GPL')
loaded = bpf(5, struct.pack('IIQQIIQII16s', 1, 2, ctypes.addressof(code), ctypes.addressof(licence), 0, 0, 0, 0, 0, b'probe').ljust(120, b'\\0'))
print('ready' if kept >= 0 and loaded >= 0 else 'no bpf here: ' + os.strerror(ctypes.get_errno()), flush=True)
time.sleep(600)
`;
