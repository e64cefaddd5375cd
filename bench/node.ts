// Speed of a capture on a busy node: some 500 processes and 20 containers of a real engine.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { captureNode, hostAt, nodeCollectors } from '../agent/index.ts';
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
import { BUSYBOX, type Dockerd, startDockerd } from '../test/testbed/dockerd.ts';
import { makeCustody } from './custody.ts';
import { checkout, type Measured, runProgram, sideBySide } from './measure.ts';

const PROCESSES = 480;
const CONTAINERS = 20;
const TABLES = [
  'data/10-process/processes.jsonl',
  'data/10-process/proc.tar.zst',
  'data/20-network/sockets.jsonl',
  'data/20-network/netns.tar.zst',
];
const main = join(checkout, 'dist/cli/main.js');

export async function measureNode(rounds: number): Promise<readonly Measured[]> {
  const folder = await mkdtemp(join(tmpdir(), 'impound-bench-'));
  const children: ChildProcess[] = Array.from({ length: PROCESSES }, () =>
    spawn('sleep', ['1000000'], { stdio: 'ignore' }),
  );
  let dockerd: Dockerd | undefined;
  try {
    dockerd = await startDockerd();
    for (let number = 0; number < CONTAINERS; number++) await dockerd.run(BUSYBOX, 'sleep', '1000000');
    return [await tables(folder, rounds), ...(await quick(folder, rounds, dockerd.socket))];
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await dockerd?.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The tables with their raw files stored, against a bare loop that opens and reads the same files. */
async function tables(folder: string, rounds: number): Promise<Measured> {
  let files: readonly string[] = [];
  const ours = async (): Promise<number> => {
    const { store, seconds } = await captureTables(folder);
    files = await readFilesOf(store);
    return seconds;
  };
  const { ours: figure, floor } = await sideBySide(rounds, ours, async () => bareLoop(files));
  return {
    what: `process and socket tables stored, ${readdirSync('/proc').filter((name) => /^\d+$/.test(name)).length} processes, ${files.length} files`,
    figure: `${figure.toFixed(2)} s`,
    floor: `${floor.toFixed(2)} s reading the same files`,
    ratio: `${(figure / floor).toFixed(1)} ×`,
    wanted: 'at most 3 ×',
    met: figure <= 3 * floor,
  };
}

async function captureTables(folder: string): Promise<{ readonly store: DirectoryStore; readonly seconds: number }> {
  const { store, chain } = await makeCustody(folder);
  const begun = Date.now();
  const custodian = new LocalCustodian({ store, chain, clock: systemClock });
  const run = nodeCollectors.filter(({ name }) => name === 'processes' || name === 'sockets');
  await captureNode({
    host: hostAt('/'),
    profile: 'quick',
    selected: { run, skipped: [] },
    suspects: [],
    dockerSockets: [],
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

/** The files below /proc whose content is in the two archives. */
async function readFilesOf(store: DirectoryStore): Promise<readonly string[]> {
  const files: string[] = [];
  for await (const { path, type } of readTar(
    zstdDecompress(store.read('data/10-process/proc.tar.zst'), 1e10, 'proc'),
    'proc',
  )) {
    if (type === '0' && path !== INNER_MANIFEST) files.push(`/proc/${path}`);
  }
  return files;
}

/** Seconds to open and read every file with one buffer; those that have gone since cost their failed open. */
function bareLoop(files: readonly string[]): number {
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
  return (performance.now() - begun) / 1000;
}

/** The whole program as a responder runs it. */
async function quick(folder: string, rounds: number, socket: string): Promise<readonly Measured[]> {
  const words = [
    'capture',
    '--local',
    '--quiet',
    '--profile',
    'quick',
    '--docker',
    socket,
    '--store',
    join(folder, 'quick'),
  ];
  const env = { ...process.env, XDG_CONFIG_HOME: folder };
  const runs = [];
  for (let round = -1; round < rounds; round++) {
    const ran = await runProgram(process.execPath, [main, ...words], env);
    if (round >= 0) runs.push(ran);
  }
  const time = runs.map((ran) => ran.seconds).toSorted((a, b) => a - b)[Math.floor(runs.length / 2)] ?? 0;
  const peak = Math.max(...runs.map((ran) => ran.peakBytes)) / 1e6;
  return [
    {
      what: `impound capture --profile quick, ${CONTAINERS} containers, hashes and Docker included`,
      figure: `${time.toFixed(2)} s`,
      floor: '',
      ratio: '',
      wanted: 'under 3 s',
      met: time < 3,
    },
    {
      what: 'its peak memory',
      figure: `${peak.toFixed(0)} MB`,
      floor: '',
      ratio: '',
      wanted: 'under 200 MB',
      met: peak < 200,
    },
  ];
}
