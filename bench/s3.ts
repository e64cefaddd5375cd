// Evidence on its way into S3 and back, beside the AWS command on the same server: versitygw on this machine's disk.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  beginBundle,
  bundleId,
  endBundle,
  generateKeyFiles,
  LocalCustodian,
  openS3Store,
  systemClock,
  tarArchive,
  zstdCompress,
} from '../evidence/index.ts';
import { cacheDirectory, goPrograms, pythonEnvironment } from '../test/testbed/components.ts';
import { type S3, startS3 } from '../test/testbed/s3.ts';
import { checkout, type Measured, runProgram, seconds, sideBySide } from './measure.ts';
import { makeTree, members } from './tree.ts';

const BUCKET = 'bench';

/** Nothing where the server or the AWS command is not installed. */
export async function measureS3(rounds: number): Promise<readonly Measured[]> {
  const aws = join(pythonEnvironment(cacheDirectory()), 'bin', 'aws');
  if (!existsSync(aws) || !existsSync(join(goPrograms(cacheDirectory()), 'versitygw'))) return [];
  const ends: (() => unknown)[] = [];
  const folder = await mkdtemp(join(tmpdir(), 'impound-bench-'));
  try {
    const s3 = await startS3({ after: (end) => void ends.push(end) });
    await s3.makeBucket({ name: BUCKET, versioning: true });
    const tree = join(folder, 'tree');
    await makeTree(tree);
    const bundles: string[] = [];
    return [
      await capture(s3, { aws, folder, tree, bundles }, rounds),
      await pull(s3, { aws, folder, bundles }, rounds),
    ];
  } finally {
    for (const end of ends.reverse()) await end();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Place {
  readonly aws: string;
  readonly folder: string;
  /** URLs of what was captured. */
  readonly bundles: string[];
}

async function capture(s3: S3, place: Place & { readonly tree: string }, rounds: number): Promise<Measured> {
  const { aws, folder, tree, bundles } = place;
  const bytes = Number(execFileSync('du', ['-sb', tree]).toString().split('\t')[0]);
  const floorCommand = `tar -C '${tree}' -cf - . | zstd -q -1 | '${aws}' s3 cp --quiet - s3://${BUCKET}/floor-$(date +%N)`;
  const signer = await generateKeyFiles(join(folder, 'key.pem'));
  const { ours, floor } = await sideBySide(
    rounds,
    () => seconds(async () => bundles.push(await storeTree(s3, tree, signer))),
    () => seconds(() => runProgram('sh', ['-c', floorCommand], environment(s3))),
  );
  return row(`tree of ${(bytes / 1e9).toFixed(1)} GB into S3: archived, compressed, hashed`, {
    bytes,
    ours,
    floor,
    beside: 'tar | zstd -1 | aws s3 cp -',
    wanted: 70,
  });
}

async function storeTree(s3: S3, tree: string, signer: Awaited<ReturnType<typeof generateKeyFiles>>): Promise<string> {
  const { endpoint, region, accessKeyId, secretAccessKey } = s3;
  const id = bundleId(systemClock.now());
  const credentials = { accessKeyId, secretAccessKey };
  const store = await openS3Store({ bucket: BUCKET, prefix: `bundles/${id}`, endpoint, region, credentials });
  const actor = { kind: 'person', name: 'bench' } as const;
  const custody = { store, signer, actor, clock: systemClock, software: 'bench' };
  const chain = await beginBundle(custody, {
    bundle: id,
    requestedBy: 'bench',
    requestedAt: systemClock.now().toISOString(),
    reason: null,
    case: null,
    node: 'bench',
    profile: 'bench',
  });
  const custodian = new LocalCustodian({ store, chain, clock: systemClock });
  const spec = { path: 'data/60-file/tree.tar.zst', collector: 'bench', session: 1, source: tree };
  const writer = await custodian.open(spec);
  for await (const chunk of zstdCompress(tarArchive(members(tree)))) await writer.write(chunk);
  await writer.close({});
  await custodian.flush();
  await endBundle(custody, chain, { outcome: 'complete' });
  return store.url;
}

async function pull(s3: S3, { aws, folder, bundles }: Place, rounds: number): Promise<Measured> {
  const url = bundles.at(-1) ?? '';
  const main = join(checkout, 'dist/cli/main.js');
  let round = 0;
  const into = (name: string): string => join(folder, `${name}-${round++}`);
  let bytes = 0;
  const clean = (path: string): Promise<void> => rm(path, { recursive: true, force: true });
  const { ours, floor } = await sideBySide(
    rounds,
    async () => {
      const path = into('pull');
      const words = ['pull', url, path, '--reason', 'bench', '--unrecorded', '--quiet', '--json'];
      const ran = await runProgram(process.execPath, [main, ...words], environment(s3));
      ({ bytes } = JSON.parse(ran.stdout) as { readonly bytes: number });
      await clean(path);
      return ran.seconds;
    },
    async () => {
      const path = into('sync');
      const ran = await runProgram(aws, ['s3', 'sync', '--quiet', url, path], environment(s3));
      await clean(path);
      return ran.seconds;
    },
  );
  const what = `pull of that bundle, ${(bytes / 1e9).toFixed(1)} GB, verified`;
  return row(what, { bytes, ours, floor, beside: 'aws s3 sync', wanted: 100 });
}

interface Times {
  readonly bytes: number;
  readonly ours: number;
  readonly floor: number;
  readonly beside: string;
  /** Percent of its speed. */
  readonly wanted: number;
}

function row(what: string, { bytes, ours, floor, beside, wanted }: Times): Measured {
  const rate = (time: number): string => `${(bytes / time / 1e6).toFixed(0)} MB/s`;
  return {
    what,
    figure: rate(ours),
    floor: `${rate(floor)} ${beside}`,
    ratio: `${((100 * floor) / ours).toFixed(0)} %`,
    wanted: `at least ${wanted} %`,
    met: floor / ours >= wanted / 100,
  };
}

function environment({ endpoint, region, accessKeyId, secretAccessKey }: S3): NodeJS.ProcessEnv {
  return {
    ...process.env,
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_REGION: region,
    AWS_DEFAULT_REGION: region,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_EC2_METADATA_DISABLED: 'true',
  };
}
