// Impound as an administrator installs it, in pods of the built images, on a cluster of the tests' own: what `impound install
// --render` prints is applied.
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CLUSTER_COMPONENTS, type Cluster, startCluster } from './cluster.ts';
import type { Scope } from './http-daemon.ts';
import { builtImages, IMAGE_COMPONENTS, imageReference } from './image.ts';
import { type S3, S3_COMPONENTS, startS3 } from './s3.ts';

/** What `needs` is told for a test that starts it. */
export const INSTALLED_COMPONENTS = [...CLUSTER_COMPONENTS, ...IMAGE_COMPONENTS, ...S3_COMPONENTS] as const;

const NAMESPACE = 'impound-system';
const BUCKET = 'evidence';
const CREDENTIALS = 'store-credentials';
const EVENTS_TAIL = 4000;
const PROGRAMS = ['controller', 'agent'] as const;
/** Sources run as they are; what was built runs what was built beside it. */
const CLI = join(import.meta.dirname, `../../cli/main.${import.meta.filename.endsWith('.js') ? 'js' : 'ts'}`);
const execute = promisify(execFile);

export interface Installed {
  readonly cluster: Cluster;
  readonly s3: S3;
  readonly namespace: string;
  readonly publicKey: string;
  /** For the environment of a program that reads the store. */
  readonly aws: Readonly<Record<string, string>>;
  /** Folder of the installation's keys and certificates. */
  readonly keys: string;
  /** Words of the `impound` that rendered it. */
  readonly words: readonly string[];
  /** File with what it printed and was applied. */
  readonly rendered: string;
  /** Renders it again, with words added, and applies that. */
  apply(...words: readonly string[]): Promise<void>;
}

/** Applied, and rolled out on three nodes. */
export async function startInstalled(scope: Scope): Promise<Installed> {
  const [cluster, s3, images] = await Promise.all([startCluster(scope, { nodes: 3 }), startS3(scope), builtImages()]);
  const [published] = await Promise.all([
    cluster.publish(new URL(s3.endpoint).host),
    s3.makeBucket({ name: BUCKET, objectLock: { mode: 'GOVERNANCE', days: 1 } }),
    makeCredentials(cluster, s3),
    ...cluster.nodes.map(async ({ name, containerd }) => {
      for (const program of PROGRAMS)
        await cluster.run(name, ['ctr', '-a', containerd, '-n', 'k8s.io', 'images', 'import', images[program]]);
    }),
  ]);
  const keys = join(cluster.directory, 'keys');
  const rendered = join(cluster.directory, 'impound.yaml');
  const store = ['--store', `s3://${BUCKET}/bundles`, '--endpoint', `http://${published}`, '--region', s3.region];
  const words = [
    ...['install', '--render', '--quiet', '--cluster', 'bed', '--keys', keys, '--store-secret', CREDENTIALS, ...store],
    ...PROGRAMS.flatMap((program) => [`--${program}-image`, imageReference(program)]),
    // what only this bed needs: a node's runtime is where no node of others has it
    `--agent-arg=--containerd=/host${cluster.containerd}`,
  ];
  const apply = async (...more: readonly string[]): Promise<void> => {
    const { stdout } = await execute(process.execPath, [CLI, ...words, ...more], { maxBuffer: 16 * 1024 * 1024 });
    await writeFile(rendered, stdout, { mode: 0o600 });
    await cluster.kubectl('apply', '--server-side', '-f', rendered);
  };
  await apply();
  for (const workload of ['deployment/impound-controller', 'daemonset/impound-agent'])
    await rolledOut(cluster, workload);
  const aws = {
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    AWS_REGION: s3.region,
    AWS_ENDPOINT_URL_S3: s3.endpoint,
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  const publicKey = join(keys, 'signing.pem.pub');
  return { cluster, s3, namespace: NAMESPACE, publicKey, aws, keys, words, rendered, apply };
}

/** As docs/install.md has it for a server that speaks S3. */
async function makeCredentials({ kubectl }: Cluster, { accessKeyId, secretAccessKey }: S3): Promise<void> {
  await kubectl('create', 'namespace', NAMESPACE);
  const literals = [`AWS_ACCESS_KEY_ID=${accessKeyId}`, `AWS_SECRET_ACCESS_KEY=${secretAccessKey}`];
  const words = literals.map((literal) => `--from-literal=${literal}`);
  await kubectl('create', 'secret', 'generic', CREDENTIALS, '-n', NAMESPACE, ...words);
}

async function rolledOut({ kubectl }: Cluster, workload: string): Promise<void> {
  try {
    await kubectl('rollout', 'status', '-n', NAMESPACE, workload, '--timeout=180s');
  } catch (cause) {
    const told = await kubectl('get', 'events', '-n', NAMESPACE, '--field-selector', 'type=Warning');
    throw new Error(`${workload} was not rolled out:\n${told.slice(-EVENTS_TAIL)}`, { cause });
  }
}
