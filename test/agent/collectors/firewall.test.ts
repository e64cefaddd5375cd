import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { kernelModules } from '../../../agent/collectors/firewall/modules.ts';
import { firewall } from '../../../agent/collectors/firewall.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { startWalk } from '../../../agent/host/walk.ts';
import { programs } from '../../../agent/programs/run.ts';
import { readTar } from '../../../evidence/stream/tar-reader.ts';
import { type Collected, collect, rowsOf } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { python } from '../../helpers/programs.ts';
import { needsRoot } from '../../helpers/small-disk.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

interface Row {
  readonly network?: { readonly type?: string; readonly transport?: string };
  readonly rule?: { readonly ruleset?: string; readonly description?: string; readonly id?: string };
  readonly event?: { readonly action?: string };
  readonly source?: { readonly ip: string; readonly port: number };
  readonly destination?: {
    readonly ip: string;
    readonly port: number;
    readonly nat?: { readonly ip: string; readonly port: number };
  };
  readonly host?: { readonly ip: string; readonly mac: string };
  readonly impound: Readonly<Record<string, unknown>> & { readonly kind: string; readonly netns: number };
}

/** A process in a network namespace of its own, which first runs `script` there. */
async function namespace(t: TestContext, script: string): Promise<{ readonly pid: number; readonly netns: number }> {
  const source = `
import ctypes, os, socket, subprocess, sys
assert ctypes.CDLL(None, use_errno=True).unshare(0x40000000) == 0
subprocess.run(['sh', '-euc', sys.argv[1]], check=True, stdout=sys.stderr)
listening = socket.socket(); listening.bind(('127.0.0.1', 4444)); listening.listen()
client = socket.create_connection(('127.0.0.1', 80 if 'dnat' in sys.argv[1] else 4444))
server, _ = listening.accept()
print(os.readlink('/proc/self/ns/net')[5:-1], client.getsockname()[1], flush=True)
sys.stdin.read()
`;
  const { pid, line } = await python(t, source, [`ip link set lo up\n${script}`]);
  const [netns] = line.split(' ').map(Number);
  return { pid, netns: netns ?? 0 };
}

/** The rows of one namespace alone: others' are nobody's business here. */
async function ask(pid: number, netns: number): Promise<Collected & { readonly rows: readonly Row[] }> {
  const host = hostAt('/');
  const walk = startWalk(host, { raw: false, signal: AbortSignal.timeout(60_000), pids: [pid] });
  const collected = await collect(firewall, { walk });
  const rows = rowsOf(collected.artefacts.get('20-network/firewall.jsonl')) as unknown as Row[];
  return { ...collected, rows: rows.filter(({ impound }) => impound.netns === netns) };
}

async function members(archive: Buffer | undefined): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  async function* bytes(): AsyncGenerator<Uint8Array> {
    if (archive !== undefined) yield archive;
  }
  for await (const member of readTar(bytes(), 'the archive')) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of member.content) chunks.push(chunk);
    found.set(member.path, Buffer.concat(chunks).toString());
  }
  return found;
}

test('nftables of a namespace no engine knows: rules with counters, chains, sets and their elements', {
  skip: needsRoot,
}, async (t) => {
  if (!needs(t, 'nft', 'ip', 'nsenter')) return;
  const { pid, netns } = await namespace(
    t,
    `nft -f - <<'END'
table inet hidden {
  set peers { type ipv4_addr; flags interval; elements = { 198.51.100.0/24, 203.0.113.7 } }
  chain in { type filter hook input priority 0; policy accept; ip saddr @peers tcp dport 31337 counter drop comment "the way in, \\\\ # handle 9"; }
}
END`,
  );
  const { rows, gaps, artefacts } = await ask(pid, netns);
  const rule = rows.find(({ impound }) => impound.kind === 'nftables-rule');
  assert.deepEqual(
    [rule?.rule?.ruleset, rule?.event?.action, rule?.impound.chain, rule?.impound.packets],
    ['inet hidden', 'drop', 'in', 0],
  );
  assert.match(rule?.rule?.description ?? '', /^the way in/);
  assert.match(rule?.rule?.id ?? '', /^\d+$/);
  const chain = rows.find(({ impound }) => impound.kind === 'nftables-chain');
  assert.deepEqual([chain?.impound.hook, chain?.impound.policy], ['input', 'accept']);
  assert.equal(rows.find(({ impound }) => impound.kind === 'nftables-set')?.impound.elements, 2);
  const elements = rows
    .filter(({ impound }) => impound.kind === 'nftables-element')
    .map(({ impound }) => impound.element);
  assert.deepEqual(elements, [{ prefix: { addr: '198.51.100.0', len: 24 } }, '203.0.113.7']);
  const raw = await members(artefacts.get('20-network/firewall.tar.zst'));
  assert.match(raw.get(`${netns}/nft.txt`) ?? '', /tcp dport 31337 counter/);
  // other tests may keep namespaces of their own at the same time
  assert.deepEqual(
    gaps.filter(({ name }) => name.includes(`${netns}`)),
    [],
  );
});

test('iptables: rules of the legacy kind, and those of iptables-nft with the matches and comments nft does not tell', {
  skip: needsRoot,
}, async (t) => {
  if (!needs(t, 'iptables', 'nft', 'ip', 'nsenter')) return;
  const { pid, netns } = await namespace(
    t,
    `iptables-legacy -t nat -A OUTPUT -p tcp --dport 53 -m comment --comment 'a "quoted" -j ACCEPT' -j REDIRECT --to-ports 5353
iptables-nft -A INPUT -p tcp -m multiport --dports 1,2 -m comment --comment planted -j ACCEPT`,
  );
  const { rows, gaps } = await ask(pid, netns);
  const rules = rows.filter(({ impound }) => impound.kind === 'iptables-rule');
  const legacy = rules.find(({ impound }) => impound.backend === 'legacy');
  assert.deepEqual(
    [legacy?.impound.table, legacy?.impound.chain, legacy?.impound.target, legacy?.network],
    ['nat', 'OUTPUT', 'REDIRECT', { type: 'ipv4', transport: 'tcp' }],
  );
  assert.equal(legacy?.rule?.description, 'a "quoted" -j ACCEPT');
  const nft = rules.find(({ impound }) => impound.backend === 'nft');
  assert.deepEqual([nft?.rule?.description, nft?.event?.action], ['planted', 'accept']);
  assert.match(String(nft?.impound.raw), /--dports 1,2/);
  // other tests may keep namespaces of their own at the same time
  assert.deepEqual(
    gaps.filter(({ name }) => name.includes(`${netns}`)),
    [],
  );
});

test('asking makes no tables: a namespace that has none still has none', { skip: needsRoot }, async (t) => {
  if (!needs(t, 'iptables', 'nft', 'ip', 'nsenter')) return;
  const { pid, netns } = await namespace(t, ':');
  const { rows, footprint } = await ask(pid, netns);
  assert.deepEqual(
    rows.filter(({ rule }) => rule !== undefined),
    [],
  );
  assert.ok(!footprint.some(({ detail }) => detail?.includes('tables-legacy-save')));
  const inside = (...command: string[]): string =>
    execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, ...command]).toString();
  assert.equal(inside('nft', 'list', 'ruleset'), '');
  assert.equal(inside('cat', '/proc/self/net/ip_tables_names'), '');
});

test('routing rules, routes of every table, IPv6 neighbours, links, traffic control and ipset', {
  skip: needsRoot,
}, async (t) => {
  if (!needs(t, 'ip', 'ipset', 'nsenter')) return;
  const { pid, netns } = await namespace(
    t,
    `ip link add left type veth peer name right; ip addr add 192.0.2.1/24 dev left; ip link set left up; ip link set right up
ip rule add from 10.9.0.0/16 table 77; ip -6 rule add from 2001:db8:9::/48 table 78
ip route add 10.5.0.0/16 dev left table 77; ip -6 route add 2001:db8:5::/48 dev left table 78
ip -6 neigh add 2001:db8::7 lladdr 02:00:00:00:00:01 dev left
tc qdisc add dev left clsact; tc filter add dev left egress prio 3 bpf bytecode '1,6 0 0 4294967295,'
ipset create watched hash:ip comment; ipset add watched 203.0.113.9 comment 'c c'`,
  );
  const { rows, gaps } = await ask(pid, netns);
  const of = (kind: string): readonly Row[] => rows.filter(({ impound }) => impound.kind === kind);
  const rules = of('routing-rule').map(
    ({ impound, network }) => [network?.type, impound.rule as Record<string, unknown>] as const,
  );
  assert.ok(rules.some(([type, rule]) => type === 'ipv4' && rule.src === '10.9.0.0' && rule.table === '77'));
  assert.ok(rules.some(([type, rule]) => type === 'ipv6' && rule.src === '2001:db8:9::' && rule.table === '78'));
  const routes = of('route').map(({ impound, network }) => [
    network?.type,
    impound.table,
    (impound.route as Row['impound']).dst,
  ]);
  assert.ok(routes.some((route) => route.join() === 'ipv4,77,10.5.0.0/16'));
  assert.ok(routes.some((route) => route.join() === 'ipv6,78,2001:db8:5::/48'));
  const neighbour = of('neighbour').find(({ host }) => host?.ip === '2001:db8::7');
  assert.equal(neighbour?.host?.mac, '02-00-00-00-00-01');
  const link = of('link').find(({ impound }) => impound.interface === 'left');
  assert.equal(link?.impound.promiscuity, 0);
  const filter = of('tc-filter').find(({ impound }) => impound.hook === 'egress');
  assert.deepEqual(
    [filter?.impound.interface, (filter?.impound.filter as Row['impound'] | undefined)?.kind],
    ['left', 'bpf'],
  );
  const element = of('ipset-element')[0]?.impound;
  assert.deepEqual([element?.set, element?.element, element?.options], ['watched', '203.0.113.9', 'comment "c c"']);
  // other tests may keep namespaces of their own at the same time
  assert.deepEqual(
    gaps.filter(({ name }) => name.includes(`${netns}`)),
    [],
  );
});

test('tracked connections, with where they were really sent', { skip: needsRoot }, async (t) => {
  if (!needs(t, 'nft', 'ip', 'conntrack', 'nsenter')) return;
  const { pid, netns } = await namespace(
    t,
    `nft 'add table ip n; add chain ip n o { type nat hook output priority -100; }; add rule ip n o tcp dport 80 dnat to 127.0.0.1:4444'`,
  );
  const { rows } = await ask(pid, netns);
  const tracked = rows.find(({ impound }) => impound.kind === 'conntrack');
  assert.deepEqual([tracked?.destination?.ip, tracked?.destination?.port], ['127.0.0.1', 80]);
  assert.deepEqual(tracked?.destination?.nat, { ip: '127.0.0.1', port: 4444 });
  assert.deepEqual([tracked?.impound.state, tracked?.network?.transport], ['established', 'tcp']);
  // the other way to them, where a kernel has no such file, prints the same
  const answer = await programs(() => undefined).run('conntrack', ['-L', '-o', 'extended,id'], {
    signal: AbortSignal.timeout(10_000),
    seconds: 5,
    bytes: 1_000_000,
    netns: { path: `/proc/${pid}/ns/net`, inode: netns },
  });
  assert.match(answer.stdout.toString(), /^ipv4 +2 tcp +6 \d+ ESTABLISHED src=/);
});

test('a namespace that only a mount keeps is asked too', { skip: needsRoot }, async (t) => {
  if (!needs(t, 'nft', 'ip', 'nsenter')) return;
  const name = `impound-test-${process.pid}`;
  execFileSync('ip', ['netns', 'add', name]);
  t.after(() => execFileSync('ip', ['netns', 'del', name]));
  execFileSync('ip', ['netns', 'exec', name, 'nft', 'add table inet kept']);
  const rows = rowsOf((await collect(firewall)).artefacts.get('20-network/firewall.jsonl')) as unknown as Row[];
  assert.ok(rows.some(({ rule }) => rule?.ruleset === 'inet kept'));
  assert.ok(rows.some(({ impound }) => impound.kind === 'route' && impound.netnsIsHost === true));
});

test('a missing program is one gap that says what is lost, and the others are asked', {
  skip: needsRoot,
}, async (t) => {
  if (!needs(t, 'ip', 'nsenter')) return;
  const folder = await mkdtemp(join(tmpdir(), 'impound-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  for (const program of ['ip', 'nsenter']) await writeFile(join(folder, program), '', { mode: 0o755 });
  for (const program of ['ip', 'nsenter']) {
    const path = execFileSync('sh', ['-c', `command -v ${program}`], {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    });
    await rm(join(folder, program));
    execFileSync('cp', [path.toString().trim(), join(folder, program)]);
  }
  const { gaps, artefacts } = await collect(firewall, { programs: programs(() => undefined, [folder]) });
  const rows = rowsOf(artefacts.get('20-network/firewall.jsonl')) as unknown as Row[];
  assert.ok(rows.some(({ impound }) => impound.kind === 'routing-rule'));
  const nft = gaps.filter(({ name }) => name === 'nft');
  assert.equal(nft.length, 1);
  assert.match(nft[0]?.detail ?? '', /lost: nftables rules/);
});

test('a module is known as loaded, as part of the kernel, or as absent', async (t) => {
  const root = await temporaryFolder(t);
  const builtin = join(root, 'lib/modules', release());
  for (const folder of [join(root, 'proc/sys/kernel'), join(root, 'sys/module/ip_set'), builtin]) {
    await mkdir(folder, { recursive: true });
  }
  assert.equal(kernelModules(hostAt(root))('nf_tables'), 'there'); // no /proc/modules: nothing can be loaded
  await writeFile(join(root, 'proc/modules'), 'nf_conntrack 1 0 - Live 0x0\n');
  assert.equal(kernelModules(hostAt(root))('nf_tables'), 'unknown');
  await writeFile(join(root, 'proc/sys/kernel/osrelease'), `${release()}\n`);
  await writeFile(join(builtin, 'modules.builtin'), 'kernel/net/packet/af-packet.ko\n');
  const state = kernelModules(hostAt(root));
  assert.deepEqual(['nf_conntrack', 'af_packet', 'ip_set', 'nf_tables'].map(state), [
    'there',
    'there',
    'there',
    'absent',
  ]);
});

test('a capture that is stopped starts no more programs', { skip: needsRoot }, async (t) => {
  if (!needs(t, 'ip', 'nft', 'nsenter')) return;
  const stopping = new AbortController();
  const started: string[] = [];
  const ours = programs(({ kind, name }) => {
    if (kind === 'process') started.push(name.replace('pid ', '/proc/'));
    stopping.abort();
  });
  await assert.rejects(collect(firewall, { programs: ours, signal: stopping.signal }));
  assert.ok(started.length <= 4);
  for (let tries = 0; tries < 100 && started.some((folder) => existsSync(folder)); tries++) await sleep(20);
  assert.deepEqual(
    started.filter((folder) => existsSync(folder)),
    [],
  );
});
