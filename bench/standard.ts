// The whole program in profile `standard` on a busy node, beside a bare tar of the same files.
import { createReadStream, createWriteStream } from 'node:fs';
import { lstat, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DirectoryStore, errnoOf, readChain, records } from '../evidence/index.ts';
import { type BusyNode, type Measured, peakMemory, runImpound, runProgram, seconds, sideBySide } from './measure.ts';

/** Tables with a row for each member of the archives beside them. */
const TABLES = ['60-file/persistence.jsonl', '60-file/tmpfs.jsonl', '70-log/files.jsonl'];
const LAYERS = '30-container/layers';

/** Nothing is promised of the time: a capture also walks the whole disk and asks every process, which tar does not. */
export async function measureStandard(node: BusyNode, rounds: number): Promise<readonly Measured[]> {
  const list = join(node.folder, 'standard-paths');
  const peaks: number[] = [];
  let count = 0;
  const ours = async (): Promise<number> => {
    const ran = await captureStandard(node);
    peaks.push(ran.peakBytes);
    const paths = await archivedPaths(ran.bundle);
    count = paths.length;
    await pipeline(Readable.from(paths.flatMap((path) => [path, Buffer.of(0)])), createWriteStream(list));
    await rm(ran.bundle, { recursive: true });
    return ran.seconds;
  };
  const command = `tar --null --files-from='${list}' --no-recursion -cf - | zstd -q -1 | sha256sum`;
  const { ours: figure, floor } = await sideBySide(rounds, ours, () =>
    seconds(() => runProgram('sh', ['-c', command])),
  );
  return [
    {
      what: `impound capture --profile standard --watch 0, ${node.containers} containers, ${count} files and folders archived`,
      figure: `${figure.toFixed(2)} s`,
      floor: `${floor.toFixed(2)} s tar | zstd -1 | sha256sum of those alone, not stored`,
      ratio: `${(figure / floor).toFixed(1)} ×`,
      wanted: '',
    },
    peakMemory(peaks),
  ];
}

/** The bundle is the caller's to remove. */
export async function captureStandard({
  folder,
  socket,
}: BusyNode): Promise<{ readonly bundle: string; readonly seconds: number; readonly peakBytes: number }> {
  const words = ['--json', '--profile', 'standard', '--watch', '0', '--docker', socket];
  const ran = await runImpound(folder, [...words, '--store', join(folder, 'standard')]);
  const { path } = JSON.parse(ran.stdout) as { readonly path: string };
  return { bundle: path, seconds: ran.seconds, peakBytes: ran.peakBytes };
}

interface Row {
  readonly file: { readonly path: string; readonly path_base64?: string };
  readonly container?: { readonly id?: string };
  readonly impound: {
    readonly member?: string;
    readonly truncated?: string;
    readonly mntns?: number;
    readonly pid?: number;
  };
}

/**
 * Where what the bundle's archives hold stands on the host, raw bytes. What was cut by a limit, and what is gone, is
 * left out: tar would read more of the one, and nothing of the other.
 */
async function archivedPaths(bundle: string): Promise<readonly Buffer[]> {
  const store = new DirectoryStore({ root: bundle, partial: `${bundle}.partial` });
  const stored = records((await readChain(store)).map(({ statement }) => statement));
  const upper = new Map(stored.map(({ path, source }) => [path, source]));
  const found = new Map<string, Buffer>();
  for (const table of [...TABLES, `${LAYERS}/drift.jsonl`]) {
    if (!upper.has(`data/${table}`)) continue;
    for await (const { file, container, impound } of rowsOf(join(bundle, 'data', table))) {
      if (impound.member === undefined || impound.truncated !== undefined) continue;
      const below = table.startsWith(LAYERS)
        ? upper.get(`data/${LAYERS}/${container?.id}.tar.zst`)
        : impound.mntns === undefined
          ? ''
          : `/proc/${impound.pid}/root`;
      if (below === undefined) throw new Error(`no archive of container ${container?.id}, which drift.jsonl names`);
      const inside = file.path_base64 === undefined ? Buffer.from(file.path) : Buffer.from(file.path_base64, 'base64');
      const path = Buffer.concat([Buffer.from(below), inside]);
      if (await isThere(path)) found.set(path.toString('latin1'), path);
    }
  }
  return [...found.values()];
}

async function* rowsOf(file: string): AsyncGenerator<Row> {
  for await (const line of createInterface({ input: createReadStream(file) })) yield JSON.parse(line) as Row;
}

async function isThere(path: Buffer): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}
