// Speed and memory of bulk: archives on their way into a bundle, and bundles being verified.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalCustodian, systemClock, tarArchive, verifyBundle, zstdCompress } from '../evidence/index.ts';
import { beginEmpty } from '../test/helpers/bundle.ts';
import { type Measured, runProgram, seconds, sideBySide } from './measure.ts';
import { makeTree, members } from './tree.ts';

export async function measureBulk(rounds: number): Promise<readonly Measured[]> {
  const folder = await mkdtemp(join(tmpdir(), 'impound-bench-'));
  try {
    const tree = join(folder, 'tree');
    await makeTree(tree);
    return [await stream(folder, tree, rounds), await verify(folder, rounds)];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function stream(folder: string, tree: string, rounds: number): Promise<Measured> {
  const bytes = Number(execFileSync('du', ['-sb', tree]).toString().split('\t')[0]);
  const floorCommand = `tar -C '${tree}' -cf - . | zstd -q -1 | tee '${folder}/floor.tar.zst' | sha256sum; sync '${folder}/floor.tar.zst'`;
  const { ours, floor } = await sideBySide(
    rounds,
    () => seconds(() => storeTree(folder, tree)),
    () => seconds(() => runProgram('sh', ['-c', floorCommand])),
  );
  const rate = (time: number): string => `${(bytes / time / 1e6).toFixed(0)} MB/s`;
  return {
    what: `tree of ${(bytes / 1e9).toFixed(1)} GB into a compressed archive, stored`,
    figure: rate(ours),
    floor: `${rate(floor)} tar | zstd -1 | sha256sum`,
    ratio: `${((100 * floor) / ours).toFixed(0)} %`,
    wanted: 'at least 80 %',
    met: floor / ours >= 0.8,
  };
}

async function storeTree(folder: string, tree: string): Promise<void> {
  const { store, chain, path } = await beginEmpty(folder);
  const custodian = new LocalCustodian({ store, chain, clock: systemClock });
  const writer = await custodian.open({
    path: 'data/60-file/tree.tar.zst',
    collector: 'bench',
    session: 1,
    source: tree,
  });
  for await (const chunk of zstdCompress(tarArchive(members(tree)))) await writer.write(chunk);
  await writer.close({});
  await custodian.flush();
  await rm(path, { recursive: true });
}

async function verify(folder: string, rounds: number): Promise<Measured> {
  const { store, custody, chain, path } = await beginEmpty(folder);
  const custodian = new LocalCustodian({ store, chain, clock: systemClock });
  for (let number = 0; number < 8; number++) {
    const writer = await custodian.open({
      path: `data/80-disk/sda/00000${number}.img`,
      collector: 'bench',
      session: 1,
      source: '',
    });
    for (let written = 0; written < 8; written++) await writer.write(randomBytes(16 * 1024 * 1024));
    await writer.close({});
  }
  await custodian.flush();
  const { endBundle } = await import('../evidence/index.ts');
  await endBundle(custody, chain, { outcome: 'complete' });
  const floorCommand = `cd '${path}' && find . -type f -print0 | xargs -0 -P 2 -n 1 sha256sum`;
  const { ours, floor } = await sideBySide(
    rounds,
    () => seconds(() => verifyBundle(store)),
    () => seconds(() => runProgram('sh', ['-c', floorCommand])),
  );
  const rate = (time: number): string => `${((8 * 8 * 16 * 1.048576) / time).toFixed(0)} MB/s`;
  return {
    what: 'verify, 1.1 GB in 8 artefacts',
    figure: rate(ours),
    floor: `${rate(floor)} sha256sum, two at once`,
    ratio: `${((100 * floor) / ours).toFixed(0)} %`,
    wanted: 'at least 80 %',
    met: floor / ours >= 0.8,
  };
}
