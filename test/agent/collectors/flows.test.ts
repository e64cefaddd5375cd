import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cgroupPlace, readUsage } from '../../../agent/collectors/flows/cgroup.ts';
import { flowTable } from '../../../agent/collectors/flows/table.ts';
import { flows } from '../../../agent/collectors/flows.ts';
import type { Socket } from '../../../agent/collectors/sockets/socket.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { startWalk } from '../../../agent/host/walk.ts';
import { collect, rowsOf } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { python } from '../../helpers/programs.ts';
import { needsRoot } from '../../helpers/small-disk.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';
import { BUSYBOX, startDockerd } from '../../testbed/dockerd.ts';

interface Row {
  readonly event?: { readonly start: string; readonly end: string };
  readonly network?: { readonly transport: string; readonly direction?: string };
  readonly source?: { readonly ip: string; readonly port: number };
  readonly destination?: { readonly ip: string; readonly port: number };
  readonly process?: { readonly pid: number; readonly name: string };
  readonly observer?: { readonly ingress: { readonly interface: { readonly name: string } } };
  readonly impound: Readonly<Record<string, unknown>> & {
    readonly netns: number;
    readonly states: readonly string[];
    readonly owners: readonly { readonly pid: number; readonly startTicks: string; readonly name: string }[];
  };
}

/** A process in a network namespace of its own; `script` runs once a line is written to its standard input. */
async function suspect(t: TestContext, script: string) {
  const source = `
import ctypes, os, socket, subprocess, sys, time
assert ctypes.CDLL(None, use_errno=True).unshare(0x40000000) == 0
subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
listening = socket.socket(); listening.bind(('127.0.0.1', 4444)); listening.listen()
print(os.readlink('/proc/self/ns/net')[5:-1], flush=True)
sys.stdin.readline()
${script}
sys.stdin.read()
`;
  const { child, pid, line } = await python(t, source);
  return { pid, netns: Number(line), go: () => child.stdin?.write('\n') };
}

/** Watches the suspect; what it does begins when the watching has. */
async function watched(pid: number, seconds: number, go: () => unknown): Promise<readonly Row[]> {
  const begun = setTimeout(go, 1500);
  try {
    const walk = startWalk(hostAt('/'), { raw: false, signal: AbortSignal.timeout(60_000), pids: [pid] });
    const { artefacts, gaps } = await collect(flows, { walk, suspects: [{ kind: 'pid', pid }], watch: seconds });
    assert.deepEqual(gaps, []);
    return rowsOf(artefacts.get('20-network/flows.jsonl')) as unknown as Row[];
  } finally {
    clearTimeout(begun);
  }
}

test('a connection made and closed meanwhile is a flow, with its process, states and the time it was seen', {
  skip: needsRoot,
}, async (t) => {
  if (!needs(t, 'ip')) return;
  const { pid, netns, go } = await suspect(
    t,
    `client = socket.create_connection(('127.0.0.1', 4444)); server, _ = listening.accept()
client.send(b'x' * 77); time.sleep(1.6); server.recv(100); client.close(); time.sleep(0.2); server.close()`,
  );
  const rows = await watched(pid, 5, go);
  const listening = rows.find(({ impound }) => impound.states?.includes('listen'));
  assert.deepEqual([listening?.impound.atStart, listening?.impound.atEnd], [true, true]);
  const out = rows.find(({ destination }) => destination?.port === 4444);
  assert.deepEqual([out?.process?.pid, out?.impound.suspect, out?.impound.netns], [pid, true, netns]);
  assert.match(out?.impound.owners[0]?.startTicks ?? '', /^\d+$/);
  assert.deepEqual([out?.impound.atStart, out?.network?.direction], [false, 'egress']);
  assert.deepEqual([out?.impound.states[0], out?.impound.states.at(-1)], ['established', 'time-wait']);
  assert.ok((out?.event?.start ?? '') < (out?.event?.end ?? ''));
  const into = rows.find(({ source, destination }) => source?.port === 4444 && destination !== undefined);
  assert.equal(into?.network?.direction, 'ingress');
  assert.deepEqual(into?.impound.queueMax, { rx: 77, tx: 0 });
  const lo = rows.find(({ observer }) => observer?.ingress.interface.name === 'lo');
  assert.ok(((lo?.impound.rx as { readonly bytes: number } | undefined)?.bytes ?? 0) > 77);
});

test('the connection of a process that was started meanwhile has its name and PID', { skip: needsRoot }, async (t) => {
  if (!needs(t, 'ip')) return;
  const { pid, go } = await suspect(
    t,
    `
if os.fork() == 0:
    open('/proc/self/comm', 'w').write('implant')
    listening.close()
    away = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); away.connect(('127.0.0.1', 5353))
    time.sleep(6); os._exit(0)`,
  );
  const rows = await watched(pid, 4, go);
  const beacon = rows.find(({ destination }) => destination?.port === 5353);
  assert.equal(beacon?.network?.transport, 'udp');
  assert.equal(beacon?.process?.name, 'implant');
  assert.notEqual(beacon?.process?.pid, pid);
});

test('a namespace whose processes end while it is watched is a gap, and its flows are kept', {
  skip: needsRoot,
}, async (t) => {
  if (!needs(t, 'ip')) return;
  const { pid } = await suspect(t, '');
  const walk = startWalk(hostAt('/'), { raw: false, signal: AbortSignal.timeout(60_000), pids: [pid] });
  await walk.index();
  const ending = setTimeout(() => process.kill(pid, 'SIGKILL'), 1500);
  t.after(() => clearTimeout(ending));
  const { artefacts, gaps } = await collect(flows, { walk, suspects: [{ kind: 'pid', pid }], watch: 3 });
  assert.deepEqual(
    gaps.map(({ reason }) => reason),
    ['vanished'],
  );
  const rows = rowsOf(artefacts.get('20-network/flows.jsonl')) as unknown as Row[];
  assert.deepEqual(rows.find(({ source }) => source?.port === 4444)?.impound.atEnd, false);
});

test('0 seconds switch it off, and that is a gap', async () => {
  const { artefacts, gaps } = await collect(flows, { watch: 0 });
  assert.deepEqual([artefacts.size, gaps.map(({ reason }) => reason)], [0, ['skipped']]);
});

test('what a container consumes is measured every second', { skip: needsRoot, timeout: 120_000 }, async (t) => {
  if (!needs(t, 'dockerd', 'docker', 'busybox')) return;
  const bed = await startDockerd();
  t.after(() => bed.stop());
  const id = await bed.run('--name', 'busy', '--memory', '64m', BUSYBOX, 'sh', '-c', 'while :; do :; done');
  await sleep(500);
  const { artefacts } = await collect(flows, { dockerSockets: [bed.socket], watch: 3 });
  const rows = rowsOf(artefacts.get('30-container/stats.jsonl')).filter(
    ({ container }) => (container as { readonly id: string }).id === id,
  );
  assert.ok(rows.length >= 3);
  const last = rows.at(-1) as {
    readonly container: { readonly name: string; readonly cpu: { readonly usage: number } };
    readonly impound: Readonly<Record<string, number>>;
  };
  assert.equal(last.container.name, 'busy');
  assert.ok(last.container.cpu.usage > 0.05 && last.container.cpu.usage <= 1.1, `${last.container.cpu.usage}`);
  assert.ok((last.impound.memoryBytes ?? 0) > 0);
  assert.equal(last.impound.memoryLimitBytes, 64 * 1024 * 1024);
  assert.ok((last.impound.pids ?? 0) >= 1);
});

test('cgroup version 2 is read as well, for a process in a cgroup below its container', async (t) => {
  const root = await temporaryFolder(t);
  const id = 'ab'.repeat(32);
  const path = `/kubepods.slice/kubepods-pod1.slice/cri-containerd-${id}.scope`;
  const folder = join(root, 'sys/fs/cgroup', path);
  await mkdir(folder, { recursive: true });
  const files = {
    'cpu.stat': 'usage_usec 2500000\nuser_usec 1\nnr_throttled 4\nthrottled_usec 7\n',
    'memory.current': '1048576\n',
    'memory.max': 'max\n',
    'memory.events': 'low 0\noom_kill 2\n',
    'io.stat': '8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=5 wbytes=6\n',
    'pids.current': '9\n',
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const place = cgroupPlace(hostAt(root), `0::${path}/init\n`, id);
  assert.ok(place);
  const usage = JSON.parse(JSON.stringify(readUsage(place))) as unknown;
  assert.deepEqual(usage, {
    cpuNanoseconds: 2_500_000_000,
    throttledNanoseconds: 7000,
    throttledPeriods: 4,
    memoryBytes: 1_048_576,
    outOfMemoryKills: 2,
    readBytes: 15,
    writtenBytes: 26,
    pids: 9,
  });
  assert.equal(cgroupPlace(hostAt(root), `0::/../..${path}\n`, id), undefined);
});

function socket(inode: number, state: string, remotePort = 9): Socket {
  const local = { ip: '10.0.0.1', port: 80 };
  return { transport: 'tcp', local, remote: { ip: '10.0.0.2', port: remotePort }, state, inode };
}

test('sockets that share a 5-tuple are flows of their own; one that is let go of stays the same flow', () => {
  const table = flowTable(() => []);
  table.seen(1, socket(7, 'established'), 0, 1000, undefined);
  table.seen(1, socket(8, 'established'), 0, 1000, undefined);
  table.seen(1, socket(0, 'time-wait'), 1, 2000, undefined);
  table.seen(1, socket(8, 'established'), 1, 2000, undefined);
  const gone = table.takeGone(2, new Set([1]));
  assert.deepEqual(
    gone.map(({ inode, states, samples }) => [inode, states, samples]),
    [
      [7, ['established', 'time-wait'], 2],
      [8, ['established'], 2],
    ],
  );
  table.seen(1, socket(9, 'established'), 3, 4000, undefined);
  assert.deepEqual(table.takeGone(4, new Set([2])), []); // its namespace was not read
  assert.equal(table.takeAll().length, 1);
});
