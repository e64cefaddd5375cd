// Speed of a capture on a busy node: some 500 processes and 20 containers of a real engine.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { captureNode, hostAt, nodeCollectors, nodeSettings } from '../agent/index.ts';
import {
  type DirectoryStore,
  INNER_MANIFEST,
  LocalCustodian,
  readChain,
  records,
  systemClock,
} from '../evidence/index.ts';
import { readTar } from '../evidence/stream/tar-reader.ts';
import { zstdDecompress } from '../evidence/stream/zstd.ts';
import { beginEmpty } from '../test/helpers/bundle.ts';
import { BUSYBOX, type Dockerd, startDockerd } from '../test/testbed/dockerd.ts';
import { type BusyNode, type Measured, median, peakMemory, runImpound, sideBySide } from './measure.ts';
import { measureStandard } from './standard.ts';

const PROCESSES = 480;
const CONTAINERS = 20;
const TABLES = [
  'data/10-process/processes.jsonl',
  'data/10-process/proc.tar.zst',
  'data/20-network/sockets.jsonl',
  'data/20-network/netns.tar.zst',
];

export async function measureNode(node: BusyNode, rounds: number): Promise<readonly Measured[]> {
  const stored = await tables(node, rounds);
  return [stored, ...(await quick(node, rounds)), ...(await measureStandard(node, rounds))];
}

/** Runs `work` while the load is there. */
export async function onBusyNode<T>(work: (node: BusyNode) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'impound-bench-'));
  const children: ChildProcess[] = Array.from({ length: PROCESSES }, () =>
    spawn('sleep', ['1000000'], { stdio: 'ignore' }),
  );
  let dockerd: Dockerd | undefined;
  try {
    dockerd = await startDockerd();
    for (let number = 0; number < CONTAINERS; number++) await dockerd.run(BUSYBOX, 'sleep', '1000000');
    return await work({ folder, socket: dockerd.socket, containers: CONTAINERS });
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await dockerd?.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The tables with their raw files stored, against a bare loop that reads the same files and links. */
async function tables(node: BusyNode, rounds: number): Promise<Measured> {
  const folder = join(node.folder, 'tables');
  let same: Readings = { files: [], links: [] };
  const ours = async (): Promise<number> => {
    const { store, seconds } = await captureTables(folder);
    same = await readingsOf(store);
    return seconds;
  };
  const { ours: figure, floor } = await sideBySide(rounds, ours, async () => bareLoop(same));
  await rm(folder, { recursive: true });
  return {
    what: `process and socket tables stored, ${readdirSync('/proc').filter((name) => /^\d+$/.test(name)).length} processes, ${same.files.length} files, ${same.links.length} links`,
    figure: `${figure.toFixed(2)} s`,
    floor: `${floor.toFixed(2)} s reading the same`,
    ratio: `${(figure / floor).toFixed(1)} ×`,
    wanted: 'at most 3 ×',
    met: figure <= 3 * floor,
  };
}

async function captureTables(folder: string): Promise<{ readonly store: DirectoryStore; readonly seconds: number }> {
  const { store, chain } = await beginEmpty(folder);
  const begun = Date.now();
  const custodian = new LocalCustodian({ store, chain, clock: systemClock });
  const run = nodeCollectors.filter(({ name }) => name === 'processes' || name === 'sockets');
  const host = hostAt('/');
  await captureNode({
    host,
    settings: { ...nodeSettings(host), profile: 'quick', dockerSockets: [], criSockets: [], containerdSockets: [] },
    selected: { run, skipped: [] },
    custodian,
    session: 1,
    signal: new AbortController().signal,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    clock: systemClock,
    observe() {},
  });
  await custodian.flush();
  const stored = records((await readChain(store)).map(({ statement }) => statement)).filter(({ path }) =>
    TABLES.includes(path),
  );
  const ended = Math.max(...stored.map((record) => Date.parse(record.ended)));
  return { store, seconds: (ended - begun) / 1000 };
}

interface Readings {
  readonly files: readonly string[];
  readonly links: readonly string[];
}

/** The files and links below /proc whose content is in the two archives. */
async function readingsOf(store: DirectoryStore): Promise<Readings> {
  const files: string[] = [];
  const links: string[] = [];
  for await (const { path, content } of membersOf(store, 'data/10-process/proc.tar.zst')) {
    if (!path.endsWith('/links')) {
      files.push(`/proc/${path}`);
      continue;
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of content) chunks.push(chunk);
    const names = Buffer.concat(chunks).toString('latin1').split('\0');
    for (let at = 0; at + 1 < names.length; at += 2) links.push(`/proc/${path.slice(0, -'links'.length)}${names[at]}`);
  }
  const inside = new Map<string, string>();
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      inside.set(/\d+/.exec(readlinkSync(`/proc/${pid}/ns/net`))?.[0] ?? '', pid);
    } catch {
      // gone, or not to be looked at
    }
  }
  for await (const { path } of membersOf(store, 'data/20-network/netns.tar.zst')) {
    const [namespace = '', ...file] = path.split('/');
    files.push(`/proc/${inside.get(namespace)}/net/${file.join('/')}`);
  }
  return { files, links };
}

async function* membersOf(store: DirectoryStore, path: string): ReturnType<typeof readTar> {
  for await (const member of readTar(zstdDecompress(store.read(path), 1e10, path), path)) {
    if (member.type === '0' && member.path !== INNER_MANIFEST) yield member;
  }
}

/** Seconds to open and read every file with one buffer, and every link; those that have gone since cost their failed open. */
function bareLoop({ files, links }: Readings): number {
  const buffer = Buffer.alloc(1024 * 1024);
  const begun = performance.now();
  readdirSync('/proc');
  for (const file of files) {
    try {
      const fd = openSync(file, 'r');
      try {
        while (readSync(fd, buffer) > 0);
      } finally {
        closeSync(fd);
      }
    } catch {
      // gone, or not to be read
    }
  }
  for (const link of links) {
    try {
      readlinkSync(link);
    } catch {
      // closed since
    }
  }
  return (performance.now() - begun) / 1000;
}

/** The whole program as a responder runs it. */
async function quick({ folder, socket, containers }: BusyNode, rounds: number): Promise<readonly Measured[]> {
  const words = ['--profile', 'quick', '--docker', socket, '--store', join(folder, 'quick')];
  const runs = [];
  for (let round = -1; round < rounds; round++) {
    const ran = await runImpound(folder, words);
    if (round >= 0) runs.push(ran);
  }
  await rm(join(folder, 'quick'), { recursive: true });
  const time = median(runs.map((ran) => ran.seconds));
  return [
    {
      what: `impound capture --profile quick, ${containers} containers, hashes and Docker included`,
      figure: `${time.toFixed(2)} s`,
      floor: '',
      ratio: '',
      wanted: 'under 3 s',
      met: time < 3,
    },
    // time is promised here, memory of the longer captures
    { ...peakMemory(runs.map((ran) => ran.peakBytes)), wanted: '', met: undefined },
  ];
}
