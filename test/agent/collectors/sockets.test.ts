import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { sockets } from '../../../agent/collectors/sockets.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { type ProcessSummary, startWalk } from '../../../agent/host/walk.ts';
import { collect, rowsOf } from '../../helpers/collect.ts';
import { needsRoot } from '../../helpers/small-disk.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

interface Row {
  readonly network: {
    readonly transport: string;
    readonly type?: string;
    readonly direction?: string;
    readonly iana_number?: string;
  };
  readonly source?: { readonly ip: string; readonly port?: number };
  readonly destination?: { readonly ip: string; readonly port?: number };
  readonly process?: { readonly pid: number; readonly name: string };
  readonly impound: Readonly<Record<string, unknown>> & {
    readonly state: string;
    readonly netns: number;
    readonly inode: number;
    readonly owners: readonly {
      readonly pid: number;
      readonly fd: number;
      readonly startTicks: string;
      readonly netns?: number;
    }[];
  };
}

test('a namespace no container engine knows is read: each of its sockets, with both ends and all owners', {
  skip: needsRoot,
}, async (t) => {
  const started = await python(
    t,
    ['unshare', '--net'],
    `
import socket, os, subprocess
subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
listening = socket.socket(); listening.bind(('127.0.0.1', 4444)); listening.listen(3)
client = socket.create_connection(('127.0.0.1', 4444)); server, _ = listening.accept()
client.send(b'hello')
six = socket.socket(socket.AF_INET6); six.bind(('::', 4445)); six.listen(3)
mapped = socket.create_connection(('127.0.0.1', 4445))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(('127.0.0.1', 5355))
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
uevents = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15); uevents.bind((0, 1))
abstract = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); abstract.bind(b'\\0odd\\xff\\0name\\nof\\x01two'); abstract.listen(1)
named = socket.socket(socket.AF_UNIX); named.bind('sock et'); named.listen(1)
unbound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
xdp = socket.socket(44, socket.SOCK_RAW)
child = os.fork()
if child == 0:
    import time
    time.sleep(600)
say(child=child, listening=listening.fileno(), local=client.getsockname()[1], unbound=os.fstat(unbound.fileno()).st_ino, xdp=os.fstat(xdp.fileno()).st_ino)
`,
  );
  const { artefacts, gaps } = await collect(sockets);
  const all = rowsOf(artefacts.get('20-network/sockets.jsonl')) as unknown as Row[];
  const here = all.filter(({ impound }) => impound.netns === started.netns);
  const find = (transport: string, port?: number): Row | undefined =>
    here.find(
      ({ network, source }) => network.transport === transport && (port === undefined || source?.port === port),
    );

  const listening = find('tcp', 4444);
  assert.deepEqual([listening?.impound.state, listening?.impound.listening], ['listen', true]);
  assert.deepEqual(listening?.source, { ip: '127.0.0.1', port: 4444 });
  assert.equal(listening?.destination, undefined);
  const parentAndChild = [started.pid, Number(started.said.child)].sort((a, b) => a - b);
  assert.deepEqual(
    listening?.impound.owners.map(({ pid }) => pid).sort((a, b) => a - b),
    parentAndChild,
  );
  assert.ok(parentAndChild.includes(listening?.process?.pid ?? 0));
  assert.ok(
    listening?.impound.owners.every(({ fd, startTicks }) => fd === started.said.listening && /^\d+$/.test(startTicks)),
  );

  const client = here.find(({ source }) => source?.port === started.said.local);
  assert.deepEqual(client?.destination, { ip: '127.0.0.1', port: 4444 });
  assert.equal(client?.network.direction, 'egress');
  const server = here.find(({ destination }) => destination?.port === started.said.local);
  assert.deepEqual(
    [server?.impound.state, server?.network.direction, server?.impound.queue],
    ['established', 'ingress', { rx: 5, tx: 0 }],
  );
  const dual = here.filter(({ source }) => source?.port === 4445);
  assert.deepEqual(
    dual.map(({ source, network }) => [source?.ip, network.type]),
    [
      ['::', 'ipv6'],
      ['::ffff:127.0.0.1', 'ipv6'],
    ],
  );

  assert.equal(find('udp', 5355)?.impound.state, 'unconnected');
  assert.equal(find('raw')?.network.iana_number, '1');
  assert.equal(find('packet')?.impound.protocol, '0x0003');
  assert.ok(find('packet')?.impound.owners.length);
  const uevents = here.find(({ network, impound }) => network.transport === 'netlink' && impound.owners.length > 0);
  assert.deepEqual([uevents?.impound.family, uevents?.impound.groups], ['kobject_uevent', '0x00000001']);
  const unix = here.filter(({ network }) => network.transport === 'unix');
  assert.deepEqual(unix.map(({ impound }) => impound.path_base64 ?? impound.path).sort(), [
    Buffer.from('@odd\xff@name\nof\x01two', 'latin1').toString('base64'),
    'sock et',
  ]);
  for (const name of ['unbound', 'xdp']) {
    const held = all.find(({ impound }) => impound.inode === started.said[name]);
    assert.deepEqual([held?.network.transport, held?.impound.family], ['unknown', 'unknown'], `${name} is not silent`);
    assert.equal(held?.impound.netns, started.netns);
  }
  const namespace = rowsOf(artefacts.get('20-network/namespaces.jsonl')).find(
    (row) => (row.impound as Row['impound']).netns === started.netns,
  );
  assert.equal((namespace?.impound as { readonly netnsIsHost?: boolean } | undefined)?.netnsIsHost, false);
  assert.ok(artefacts.get('20-network/netns.tar.zst')?.includes(`${started.netns}/tcp`));
  assert.deepEqual(
    gaps.filter(({ reason }) => reason === 'failed'),
    [],
  );
});

test('interfaces, routes and neighbours of a namespace are rows', { skip: needsRoot }, async (t) => {
  const started = await python(
    t,
    ['unshare', '--net'],
    `
import subprocess
for line in ['link set lo up', 'link add v0 type veth peer name v1', 'link set v0 up', 'addr add 172.30.7.1/24 dev v0', 'route add 10.99.0.0/16 via 172.30.7.2', 'neigh add 172.30.7.2 lladdr 02:00:00:00:00:07 dev v0']:
    subprocess.run(['ip', *line.split()], check=True)
say()
`,
  );
  const { artefacts } = await collect(sockets);
  const rows = (name: string): Record<string, Record<string, unknown>>[] =>
    (rowsOf(artefacts.get(`20-network/${name}.jsonl`)) as Record<string, Record<string, unknown>>[]).filter(
      (row) => row.impound?.netns === started.netns,
    );
  assert.ok(rows('interfaces').some(({ host }) => (host?.ip as string[] | undefined)?.includes('172.30.7.1')));
  assert.ok(
    rows('routes').some(({ impound }) => impound?.destination === '10.99.0.0/16' && impound.gateway === '172.30.7.2'),
  );
  assert.deepEqual(
    rows('neighbours').map(({ host }) => host),
    [{ ip: '172.30.7.2', mac: '02-00-00-00-00-07' }],
  );
});

test('namespaces without a process are gaps that say where they are pinned or who holds them', {
  skip: needsRoot,
}, async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'pin ned'), '');
  const pinned = await python(
    t,
    ['unshare', '--mount'],
    `
import subprocess
subprocess.run(['unshare', '--net=pin ned', 'true'], check=True)
say(inode=os.stat('pin ned').st_ino)
`,
    folder,
  );
  const held = await python(
    t,
    [],
    `
import ctypes
libc = ctypes.CDLL(None)
home = os.open('/proc/self/ns/net', os.O_RDONLY)
assert libc.unshare(0x40000000) == 0
kept = os.open('/proc/self/ns/net', os.O_RDONLY)
assert libc.setns(home, 0) == 0
say(inode=os.fstat(kept).st_ino, fd=kept)
`,
  );
  const { gaps, artefacts } = await collect(sockets);
  const about = (inode: unknown) =>
    gaps.find(({ reason, name }) => reason === 'unsupported' && name.includes(`netns ${inode}:`));
  assert.match(about(pinned.said.inode)?.name ?? '', new RegExp(`mounted at ${folder}/pin ned \\(seen by pid \\d+\\)`));
  assert.match(
    about(held.said.inode)?.name ?? '',
    new RegExp(`held open by pid ${held.pid} fd ${held.said.fd} \\(python`),
  );
  assert.match(about(held.said.inode)?.detail ?? '', /firewall\.jsonl/);
  const found = rowsOf(artefacts.get('20-network/namespaces.jsonl')).map(
    (row) => (row.impound as Row['impound']).netns,
  );
  assert.ok(found.includes(Number(pinned.said.inode)));
});

test('a vanished process is no loss while another of its namespace lives', { skip: needsRoot }, async (t) => {
  const started = await python(t, ['unshare', '--net'], 'say()');
  const living = startWalk(hostAt('/'), { raw: false, signal: AbortSignal.timeout(20_000) });
  const processes = await living.index();
  const ghost: ProcessSummary = {
    pid: 4_194_303,
    startTicks: '1',
    comm: 'ghost',
    netns: started.netns,
    sockets: [{ fd: 3, inode: 1 }],
  };
  const { artefacts, gaps } = await collect(sockets, {
    walk: { ...living, index: () => Promise.resolve([ghost, ...processes]) },
  });
  const row = rowsOf(artefacts.get('20-network/namespaces.jsonl'))
    .map(({ impound }) => impound as Record<string, unknown>)
    .find(({ netns }) => netns === started.netns);
  assert.equal(row?.readThrough, started.pid);
  assert.ok(gaps.some(({ reason, name }) => reason === 'vanished' && name === 'socket 1'));
});

interface Started {
  readonly pid: number;
  readonly netns: number;
  readonly said: Readonly<Record<string, unknown>>;
}

/** Runs Python, which calls say(name=value) once it is ready, until the test ends. */
async function python(t: TestContext, before: readonly string[], script: string, cwd?: string): Promise<Started> {
  const folder = cwd ?? (await temporaryFolder(t));
  const program = `
import os, json, time
def say(**values):
    print(json.dumps({'pid': os.getpid(), **values}), flush=True)
${script}
time.sleep(600)
`;
  const [command = '/usr/bin/env', ...args] = [...before, '/usr/bin/env', 'python3', '-c', program];
  const child: ChildProcess = spawn(command, args, {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  t.after(async () => {
    const ended = once(child, 'close');
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL'); // its group: what it forked too
    await ended;
  });
  assert.ok(child.stdout);
  for await (const line of createInterface({ input: child.stdout })) {
    const said = JSON.parse(line) as Record<string, unknown>;
    const pid = Number(said.pid);
    return { pid, said, netns: Number(/\d+/.exec(readlinkSync(`/proc/${pid}/ns/net`))?.[0]) };
  }
  throw new Error('the process ended before it was ready');
}
