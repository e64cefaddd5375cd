// eBPF programs on links: an XDP program attached by netlink, one by a bpf link, and one of tc, in a namespace of its own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { firewall } from '../../../agent/collectors/firewall.ts';
import { kernel } from '../../../agent/collectors/kernel.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { startWalk } from '../../../agent/host/walk.ts';
import { type Collected, collect, rowsOf } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { python } from '../../helpers/programs.ts';
import { needsRoot } from '../../helpers/small-disk.ts';

/** In a network namespace of its own with a veth pair: loads "r0 = 2 (XDP_PASS); exit" and attaches it. bpf(2). */
const ATTACHES = String.raw`
import ctypes, os, platform, socket, struct, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
number = {'x86_64': 321, 'aarch64': 280}[platform.machine()]
def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes.ljust(144, b'\0'), 144)
    got = libc.syscall(number, command, buffer, 144)
    if got < 0:
        print('no bpf here: command %d: %s' % (command, os.strerror(ctypes.get_errno())), flush=True)
        sys.stdin.read()
        sys.exit()
    return got
def load(kind, name, attaches):
    code = ctypes.create_string_buffer(struct.pack('<BBhiBBhi', 0xb7, 0, 0, 2, 0x95, 0, 0, 0), 16)
    licence = ctypes.create_string_buffer(b'GPL')
    return bpf(5, struct.pack('<IIQQIIQII16sII', kind, 2, ctypes.addressof(code), ctypes.addressof(licence), 0, 0, 0, 0, 0, name, 0, attaches))
def attribute(kind, content):
    return struct.pack('<HH', 4 + len(content), kind) + content.ljust(-(-len(content) // 4) * 4, b'\0')
def by_netlink(index, program, flags):  # RTM_SETLINK with IFLA_XDP: what "ip link set dev LINK xdp" sends
    xdp = attribute(43 | 0x8000, attribute(1, struct.pack('<i', program)) + attribute(3, struct.pack('<I', flags)))
    body = struct.pack('<BxHiII', 0, 0, index, 0, 0) + xdp
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.send(struct.pack('<IHHII', 16 + len(body), 19, 5, 1, 0) + body)
        error, = struct.unpack_from('<i', netlink.recv(4096), 16)
    assert error == 0, os.strerror(-error)
assert libc.unshare(0x40000000) == 0
subprocess.run(['ip', 'link', 'add', 'left', 'type', 'veth', 'peer', 'name', 'right'], check=True)
left, right = socket.if_nametoindex('left'), socket.if_nametoindex('right')
xdp = load(6, b'planted', 37)
by_netlink(left, xdp, 2)  # in generic mode; the kernel keeps it when this process has ended
os.close(xdp)
linked = bpf(28, struct.pack('<IIII', load(6, b'linked', 37), right, 37, 0))
tcx = bpf(28, struct.pack('<IIII16x', load(3, b'newer', 0), right, 46, 0)) # BPF_TCX_INGRESS, Linux 6.6
print('attached', flush=True)
sys.stdin.read()
`;

interface Row {
  readonly observer?: { readonly ingress: { readonly interface: { readonly name: string } } };
  readonly impound: Readonly<Record<string, unknown>> & { readonly kind: string; readonly netns: number };
}

interface Xdp {
  readonly mode: number;
  readonly prog: { readonly id: number; readonly name: string; readonly tag: string };
}

interface Attached {
  readonly id: number;
  readonly mode: string;
}

async function ask(t: TestContext, pid: number): Promise<Collected & { readonly rows: readonly Row[] }> {
  const netns = Number(readlinkSync(`/proc/${pid}/ns/net`).slice(5, -1));
  const walk = startWalk(hostAt('/'), { raw: false, signal: t.signal, pids: [pid] });
  const collected = await collect(firewall, { walk });
  const rows = rowsOf(collected.artefacts.get('20-network/firewall.jsonl')) as unknown as readonly Row[];
  return { ...collected, rows: rows.filter(({ impound }) => impound.netns === netns) };
}

test('XDP programs on links are told with their names: attached by netlink, and by a bpf link', {
  skip: needsRoot,
}, async (t) => {
  if (!needs(t, 'ip', 'nsenter', 'bpftool', 'python3')) return;
  const { pid, line } = await python(t, ATTACHES);
  if (line !== 'attached') return t.skip(line);
  const { rows } = await ask(t, pid);
  const xdpOf = (link: string): Xdp | undefined =>
    rows.find(({ impound }) => impound.kind === 'link' && impound.interface === link)?.impound.xdp as Xdp | undefined;
  const [left, right] = [xdpOf('left'), xdpOf('right')];
  // linux/if_link.h: XDP_ATTACHED_SKB is 2, XDP_ATTACHED_DRV 1
  assert.deepEqual(
    [left?.mode, left?.prog.name, right?.mode, right?.prog.name],
    [2, 'planted', 1, 'linked'],
    JSON.stringify(rows.filter(({ impound }) => impound.kind === 'link')),
  );
  assert.match(left?.prog.tag ?? '', /^[0-9a-f]{16}$/);
  assert.equal(xdpOf('lo'), undefined);
  // the same programs by their ids, as the kernel's list of attachments has them
  const attached = rows
    .filter(({ impound }) => impound.kind === 'bpf-attachment' && impound.hook === 'xdp')
    .map(({ impound }) => [impound.interface, impound.attachment as Attached] as const);
  assert.deepEqual(attached.map(([link, { id, mode }]) => [link, id, mode]).sort(), [
    ['left', left?.prog.id, 'generic'],
    ['right', right?.prog.id, 'driver'],
  ]);
});

test('a link of a type that bpftool does not know is named by it, and what is not told of it is a gap', {
  skip: needsRoot,
}, async (t) => {
  if (!needs(t, 'ip', 'nsenter', 'bpftool', 'python3')) return;
  const { line } = await python(t, ATTACHES);
  if (line !== 'attached') return t.skip(line);
  const { artefacts, gaps } = await collect(kernel);
  const links = rowsOf(artefacts.get('50-kernel/ebpf.jsonl')).flatMap(({ impound }) => {
    const { ebpf } = impound as { readonly ebpf: Readonly<Record<string, unknown>> };
    return ebpf.seen === 'kernel' && ebpf.kind === 'link' ? [ebpf.type] : [];
  });
  assert.ok(links.includes('tcx') && links.includes('xdp'), String(links));
  const known = links.length > 0 && !gaps.some(({ detail }) => detail?.startsWith('links of type tcx'));
  // Debian 12's is older than tcx; a newer one says to what it is attached, and has no such gap
  const version = execFileSync('bpftool', ['version'], { encoding: 'utf8' });
  assert.equal(known, Number(/v(\d+)\.(\d+)/.exec(version)?.[2]) >= 3, version);
});
