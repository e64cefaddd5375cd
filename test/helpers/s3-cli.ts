// The command line against a real S3 of the tests' own, and bundles put there by the engine.
import type { ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { Collector } from '../../capture/index.ts';
import { defaultKeyFile } from '../../cli/key.ts';
import {
  bundleId,
  bundlePrefix,
  type ChainHead,
  type Custody,
  endBundle,
  generateKeyFiles,
  type Signer,
  type Store,
} from '../../evidence/index.ts';
import { type Account, type Bucket, type S3, S3_COMPONENTS, startS3 } from '../testbed/s3.ts';
import { custodyOf, sampleCollectors } from './bundle.ts';
import { ended, type Ran, type RunOptions, startCli } from './cli.ts';
import { missing } from './component.ts';
import { beginCapture, s3StoreOf } from './s3.ts';

export interface S3Bed {
  readonly s3: S3;
  /** Takes the signing key; its public half is `key`. */
  readonly home: string;
  readonly key: string;
  readonly signer: Signer;
  /** A bucket of its own: "s3://NAME/ir". */
  bucket(more?: Omit<Bucket, 'name'>): Promise<{ readonly name: string; readonly url: string }>;
  run(words: readonly string[], more?: RunMore): Promise<Ran>;
  start(words: readonly string[], more?: RunMore): ChildProcess;
  folder(): Promise<string>;
}

export interface RunMore {
  readonly account?: Account;
  /** In place of the server's: a proxy's. */
  readonly endpoint?: string;
  readonly home?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** For a whole test file; undefined where the server is not installed (`needs` then says so). */
export async function fileS3Bed(): Promise<S3Bed | undefined> {
  if (missing(S3_COMPONENTS) !== undefined) return undefined;
  const s3 = await startS3({ after });
  const base = await mkdtemp(join(tmpdir(), 'impound-test-'));
  after(() => rm(base, { recursive: true, force: true }));
  const home = join(base, 'home');
  await mkdir(home);
  const signer = await generateKeyFiles(defaultKeyFile({ XDG_CONFIG_HOME: home }));
  let buckets = 0;
  const start = (words: readonly string[], more: RunMore = {}): ChildProcess => {
    const all = { home, ...more };
    return startCli(words, { home: all.home, env: environmentOf(s3, all) });
  };
  return {
    s3,
    home,
    key: `${defaultKeyFile({ XDG_CONFIG_HOME: home })}.pub`,
    signer,
    async bucket(more = {}) {
      const name = `evidence-${++buckets}`;
      await s3.makeBucket({ name, ...more });
      return { name, url: `s3://${name}/ir` };
    },
    start,
    run: (words, more) => ended(start(words, more)),
    folder: () => mkdtemp(join(base, 'dir-')),
  };
}

/** What a person's shell has: no profile of this machine, no instance metadata. STS refuses to talk unless it is given. */
function environmentOf(s3: S3, { account = s3, endpoint = s3.endpoint, env }: RunMore): RunOptions['env'] & object {
  return {
    AWS_ACCESS_KEY_ID: account.accessKeyId,
    AWS_SECRET_ACCESS_KEY: account.secretAccessKey,
    AWS_REGION: s3.region,
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_ENDPOINT_URL_STS: 'http://127.0.0.1:1',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
    ...env,
  };
}

export interface S3Bundle {
  /** "s3://BUCKET/ir/local/no-case/ID" */
  readonly url: string;
  readonly id: string;
  /** Its folder in the server's file system. */
  readonly files: string;
  readonly store: Store;
  readonly custody: Custody;
  readonly head: ChainHead;
}

export interface BundleMore {
  readonly collectors?: readonly Collector[];
  readonly seal?: boolean;
  readonly signer?: Signer;
  /** In place of a UUID: what a hostile chain says. */
  readonly id?: string;
}

/** A bundle by the engine in the bucket, sealed unless told otherwise. */
export async function s3Bundle(
  { s3, ...bed }: S3Bed,
  bucket: string,
  { collectors = sampleCollectors, seal = true, signer = bed.signer, ...more }: BundleMore = {},
): Promise<S3Bundle> {
  const folder = bundleId(new Date());
  const { id = folder } = more;
  const prefix = `ir/${bundlePrefix(undefined, undefined, folder)}`;
  const store = s3StoreOf(s3, prefix, { bucket });
  const custody = custodyOf(store, signer);
  const { chain, custodian, run } = await beginCapture(custody, collectors, id);
  await run();
  await custodian.flush();
  const head = seal ? await endBundle(custody, chain, { outcome: 'complete' }) : chain.head;
  return { url: store.url, id, files: join(s3.root, bucket, prefix), store, custody, head };
}
