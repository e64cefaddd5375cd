// Other collectors of evidence on the same busy node, where the environment says where they are: how long each takes,
// and which of our collectors' rows it has something of.
//   UAC=/path/to/folder          Unix-like Artifacts Collector, profile ir_triage
//   ACQUIRE=/path/to/bin/acquire acquire, profile full with its volatile one
import { execFile, spawn } from 'node:child_process';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { nodeCollectors } from '../agent/index.ts';
import { formatBytes } from '../cli/terminal/text.ts';
import { DirectoryStore, INNER_MANIFEST, readChain, records } from '../evidence/index.ts';
import { readTar } from '../evidence/stream/tar-reader.ts';
import { zstdDecompress } from '../evidence/stream/zstd.ts';
import type { BusyNode } from './measure.ts';
import { captureStandard } from './standard.ts';

/** One of them is cut then; what it had by that time is listed. */
const MINUTES = 20;
/** Names of one output that are looked at. */
const MAX_NAMES = 2_000_000;
const execute = promisify(execFile);

export interface PeerTable {
  readonly titles: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Lines to stand below it. */
  readonly notes: readonly string[];
}

interface Peer {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  /** A name in its output as UAC's own, or as the host's path, beginning with "/". */
  readonly rename: (name: string) => string;
}

interface Outcome {
  readonly name: string;
  readonly seconds: number;
  readonly bytes: number;
  readonly ended: string;
  readonly files: number;
  /** Files by collector. */
  readonly found: ReadonlyMap<string, number>;
}

/** Nothing runs, and there are no tables, where neither variable is set. */
export async function measurePeers(node: BusyNode): Promise<readonly PeerTable[]> {
  const peers = peersOf(join(node.folder, 'peer'));
  if (peers.length === 0) return [];
  const outcomes = [await impound(node)];
  for (const peer of peers) outcomes.push(await run(peer, node));
  const times = outcomes.map(({ name, seconds, bytes, files, ended }) => [
    name,
    `${seconds.toFixed(1)} s`,
    formatBytes(bytes),
    String(files),
    ended,
  ]);
  const rows = nodeCollectors.map(({ name }) => [
    name,
    ...outcomes.map(({ found }) => {
      const count = found.get(name) ?? 0;
      return count === 0 ? 'no' : `yes ${count}`;
    }),
  ]);
  return [
    {
      titles: ['PROGRAM', 'TIME', 'OUTPUT', 'FILES', ''],
      rows: times,
      notes: ['One run each, one after the other; files in archives are counted one by one.'],
    },
    {
      titles: ['COLLECTOR', ...outcomes.map(({ name }) => name)],
      rows,
      notes: [
        'Files that belong to the row, by their names alone; "yes" says that there is something of it, not how much.',
        'impound ran without suspects (packets, memory) and with --watch 0 (flows); no CRI runtime is part of the load.',
        "The engine's folders are not where Docker has them, which hides from acquire what it would copy.",
      ],
    },
  ];
}

function peersOf(out: string): readonly Peer[] {
  const { UAC, ACQUIRE } = process.env;
  const peers: Peer[] = [];
  if (UAC !== undefined && UAC !== '')
    peers.push({
      name: 'uac ir_triage',
      program: join(UAC, 'uac'),
      args: ['-p', 'ir_triage', out],
      cwd: UAC,
      rename: (name) => name.replace(/^uac-data\.tmp\/(?:collected\/)?/, '').replace(/^\[root\]/, ''),
    });
  if (ACQUIRE !== undefined && ACQUIRE !== '')
    peers.push({
      name: 'acquire full',
      program: ACQUIRE,
      // reading files through the kernel, as the others do, and not the mounted disks' raw blocks; nothing sent away
      args: [
        ...['--profile', 'full', '--volatile-profile', 'default', '--force-fallback'],
        ...['--no-auto-upload', '--no-proxy', '--output-type', 'tar', '--output', out, 'local'],
      ],
      rename: (name) => name.replace(/^fs\/\$rootfs\$/, ''),
    });
  return peers;
}

/** Names of files that show that an output has something of a collector's row. */
interface Signs {
  /** Of what it copied, by the host's path. */
  readonly copied?: readonly RegExp[];
  /** Of what UAC wrote itself: the output of commands. */
  readonly uac?: readonly RegExp[];
}

const SIGNS: Readonly<Record<string, Signs>> = {
  clock: { copied: [/^\/proc\/uptime$/], uac: [/^live_response\/system\/(?:date|hwclock|timedatectl|uptime)/] },
  host: {
    copied: [/^\/etc\/(?:os-release|hostname|machine-id)$/, /^\/usr\/lib\/os-release$/, /^\/proc\/sys\/kernel\//],
    uac: [/^live_response\/hardware\/(?!dmesg)/, /^live_response\/storage\//, /^live_response\/system\/uname/],
  },
  processes: {
    copied: [/^\/proc\/\d+\/(?:stat|status|environ|cmdline|maps)$/],
    uac: [
      /^live_response\/process\/(?:ps|top|pstree|lsof|ls_|hash_|hidden_|running_)[^/]*$/,
      /^live_response\/process\/proc\/\d+\/[a-z_]+\.txt$/,
    ],
  },
  binaries: { uac: [/^live_response\/process\/proc\/.*recovered_(?:exe|file)$/] },
  sockets: {
    copied: [/^\/proc\/(?:\d+\/)?net\/(?!nf_conntrack|netfilter|ip6?_tables|arp_tables)./],
    uac: [
      /^live_response\/network\/(?:ss|netstat|lsof|proc_net|ip_|ifconfig|arp)/,
      /^live_response\/process\/proc\/\d+\/net\//,
    ],
  },
  firewall: {
    copied: [/^\/proc\/(?:\d+\/)?net\/(?:nf_conntrack$|ip6?_tables_)/],
    uac: [/^live_response\/network\/(?:ip6?tables|nft|ufw|firewall-cmd)/],
  },
  flows: { uac: [/^live_response\/containers\/(?:docker|podman)_stats_/] },
  packets: {},
  kernel: {
    copied: [/^\/sys\/module\//, /^\/proc\/(?:modules|kallsyms)$/],
    uac: [
      /^live_response\/system\/(?:binfmt|bpftool|ebpf|core_pattern|lsmod|modinfo|module|sysctl|ls_-la_sys_)/,
      /^live_response\/system\/(?:kernel|cat_proc_sys_kernel)_/,
      /^live_response\/hardware\/dmesg/,
    ],
  },
  ram: { uac: [/^memory_dump\//] },
  docker: {
    copied: [/^\/var\/lib\/docker\/containers\//, /^\/etc\/docker\//],
    uac: [/^live_response\/containers\/(?:docker|podman)_(?!stats|diff)/],
  },
  cri: { copied: [/^\/run\/(?:containerd|crio)\//], uac: [/^live_response\/containers\/(?:containerd|crictl)_/] },
  layers: {
    copied: [/^\/var\/lib\/docker\/overlay2\/[^/]+\/diff\//, /^\/var\/lib\/containerd\/.*\/snapshots\/\d+\/fs\//],
    uac: [/^live_response\/containers\/(?:docker|podman)_diff_/],
  },
  memory: { uac: [/^live_response\/process\/proc\/\d+\/(?:sections\/|memory_strings)/] },
  tmpfs: { copied: [/^\/(?:dev\/shm|run)\/./] },
  persistence: {
    copied: [
      /^\/etc\/(?:cron|systemd|init|rc\d?\.|profile|pam|sudoers|ssh|ld\.so|udev|modules|modprobe|passwd|shadow|xdg)/,
      /^\/(?:usr\/)?lib\/(?:systemd|udev)\//,
      /^\/var\/spool\/(?:cron|at)/,
      /\/\.ssh\//,
      /^\/(?:root|home\/[^/]+)\/\.(?:bashrc|bash_profile|bash_login|bash_logout|profile|zshrc)$/,
    ],
    uac: [/^live_response\/system\/(?:systemctl|service|chkconfig)_/],
  },
  timeline: { uac: [/^bodyfile\//, /^system\/(?:suid|sgid|getcap)/] },
  logs: {
    copied: [/^\/var\/(?:log|adm)\//, /^\/run\/(?:log\/|utmp)/, /^\/(?:root|home\/[^/]+)\/\.[a-z]*_history$/],
    uac: [/^live_response\/system\/(?:last|journalctl)/],
  },
  disk: {},
};

async function run(peer: Peer, { folder, socket }: BusyNode): Promise<Outcome> {
  const out = join(folder, 'peer');
  await mkdir(out);
  try {
    const begun = performance.now();
    const ended = await runBounded(peer, { ...process.env, DOCKER_HOST: `unix://${socket}` });
    const seconds = (performance.now() - begun) / 1000;
    const found = new Map<string, number>();
    let files = 0;
    let left = '';
    for await (const name of namesIn(out)) {
      if (files === MAX_NAMES) {
        left = `; more than ${MAX_NAMES} files, the rest not looked at`;
        break;
      }
      files++;
      const renamed = peer.rename(name);
      for (const { name: collector } of nodeCollectors)
        if (isSign(collector, renamed)) found.set(collector, (found.get(collector) ?? 0) + 1);
    }
    const bytes = Number((await execute('du', ['-sb', out])).stdout.split('\t')[0]);
    return { name: peer.name, seconds, bytes, ended: `${ended}${left}`, files, found };
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}

function isSign(collector: string, name: string): boolean {
  const signs = SIGNS[collector];
  if (signs === undefined) throw new Error(`peers.ts says nothing of the collector ${collector}`);
  return [...(signs.copied ?? []), ...(signs.uac ?? [])].some((sign) => sign.test(name));
}

/** How it ended, in words; '' for well. With timeout(1), which ends all that it has started, too. */
async function runBounded({ program, args, cwd }: Peer, env: NodeJS.ProcessEnv): Promise<string> {
  const words = ['--kill-after=10', `${MINUTES}m`, program, ...args];
  try {
    await execute('timeout', words, { cwd, env, maxBuffer: 64 * 1024 ** 2 });
    return '';
  } catch (error) {
    const { code, stderr } = error as { readonly code?: unknown; readonly stderr?: unknown };
    if (code === 124 || code === 137) return `cut after ${MINUTES} minutes`;
    return `ended with ${code} ${String(stderr).trim().slice(-200)}`.trimEnd();
  }
}

/** Files below `out`, and those in its archives. */
async function* namesIn(out: string): AsyncGenerator<string> {
  for (const entry of await readdir(out, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) continue;
    if (entry.parentPath === out && /\.tar(?:\.gz)?$/.test(entry.name)) yield* namesInTar(path);
    else yield path.slice(out.length + 1);
  }
}

async function* namesInTar(archive: string): AsyncGenerator<string> {
  const child = spawn('tar', ['--list', '--quoting-style=literal', '--file', archive], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    for await (const name of createInterface({ input: child.stdout })) if (!name.endsWith('/')) yield name;
  } finally {
    child.kill();
  }
}

async function impound(node: BusyNode): Promise<Outcome> {
  const { bundle, seconds } = await captureStandard(node);
  try {
    const store = new DirectoryStore({ root: bundle, partial: `${bundle}.partial` });
    const found = new Map<string, number>();
    let files = 0;
    for (const { path, collector, size } of records((await readChain(store)).map(({ statement }) => statement))) {
      // an empty table; the others leave no empty output either
      if (size === 0) continue;
      let count = 1;
      if (path.endsWith('.tar.zst')) {
        count = 0;
        for await (const member of readTar(zstdDecompress(store.read(path), 1e12, path), path))
          if (member.type !== '5' && member.path !== INNER_MANIFEST) count++;
      }
      files += count;
      found.set(collector, (found.get(collector) ?? 0) + count);
    }
    const bytes = Number((await execute('du', ['-sb', bundle])).stdout.split('\t')[0]);
    return { name: 'impound standard', seconds, bytes, ended: '', files, found };
  } finally {
    await rm(bundle, { recursive: true });
  }
}
