// Starts a real S3 of the tests' own (versitygw over a temporary folder): versions, Object Lock, a second account.
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  CreateBucketCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectLockConfigurationCommand,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import { cacheDirectory, goPrograms } from './components.ts';
import { type Daemon, type Scope, startDaemon } from './http-daemon.ts';

/** What `needs` is told for a test that starts one. */
export const S3_COMPONENTS = ['versitygw'] as const;

const ROOT = 'root';

export interface Account {
  /** To this server also the account's id, for ExpectedBucketOwner. */
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface S3 extends Daemon, Account {
  readonly region: string;
  /** The folder whose folders are the buckets; their objects are plain files below. */
  readonly root: string;
  /** An account that owns nothing: it may what a bucket's policy allows it (`allow`), and else gets AccessDenied. */
  readonly user: Account;
  /** A client of the first account, which may everything. */
  readonly client: S3Client;
  /** Another client: of another account, through a proxy, with other retries. */
  clientOf(options: Partial<S3ClientConfig>): S3Client;
  makeBucket(bucket: Bucket): Promise<void>;
  /** Replaces the bucket's policy: `user` may these actions ("s3:PutObject"), on the bucket and on all its objects. */
  allow(bucket: string, actions: readonly string[]): Promise<void>;
}

export interface Bucket {
  readonly name: string;
  readonly versioning?: boolean;
  /** With a default retention where `mode` and `days` are given. Such a bucket has versions. */
  readonly objectLock?: boolean | { readonly mode: 'GOVERNANCE' | 'COMPLIANCE'; readonly days: number };
}

export interface S3Options {
  /** Every write is refused with AccessDenied, whoever asks. */
  readonly readonly?: boolean;
  /**
   * What it knows of objects is kept in files, not in extended attributes: those of ext4 are too short for the parts of an
   * object of 12 GiB.
   */
  readonly sidecar?: boolean;
}

/** Ready in some 100 ms. The file system of /tmp must have extended attributes. */
export async function startS3(scope: Scope, options: S3Options = {}): Promise<S3> {
  const [account, user] = [newAccount(), newAccount()];
  const health = `/${randomBytes(8).toString('hex')}`;
  const daemon = await startDaemon(scope, {
    name: join(goPrograms(cacheDirectory()), 'versitygw'),
    readyPath: health,
    async args(port, directory) {
      const [root, versions, iam] = [join(directory, ROOT), join(directory, 'versions'), join(directory, 'iam')];
      const sidecar = join(directory, 'sidecar');
      for (const folder of [root, versions, iam, sidecar]) await mkdir(folder);
      await writeFile(join(iam, 'users.json'), users(user));
      const address = ['--port', `127.0.0.1:${port}`, '--health', health, '--keep-alive', '--iam-dir', iam];
      const credentials = ['--access', account.accessKeyId, '--secret', account.secretAccessKey];
      const all = [...credentials, ...address, ...(options.readonly ? ['--readonly'] : [])];
      const metadata = options.sidecar ? ['--sidecar', sidecar] : [];
      return [...all, 'posix', ...metadata, '--versioning-dir', versions, root];
    },
  });
  return withClient({ ...daemon, ...account, region: 'us-east-1', root: join(daemon.directory, ROOT), user }, scope);
}

function withClient(s3: Omit<S3, 'client' | 'clientOf' | 'makeBucket' | 'allow'>, scope: Scope): S3 {
  const clientOf = (options: Partial<S3ClientConfig>): S3Client => {
    const { endpoint, region, accessKeyId, secretAccessKey } = s3;
    const credentials = { accessKeyId, secretAccessKey };
    const client = new S3Client({ endpoint, region, credentials, forcePathStyle: true, ...options });
    scope.after(async () => client.destroy());
    return client;
  };
  const client = clientOf({});
  return {
    ...s3,
    client,
    clientOf,
    makeBucket: (bucket) => makeBucket(client, bucket),
    async allow(bucket, actions) {
      const resources = [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`];
      const Statement = actions.map((action) => ({
        Effect: 'Allow',
        Principal: { AWS: [s3.user.accessKeyId] },
        Action: action,
        Resource: resources,
      }));
      const Policy = JSON.stringify({ Version: '2012-10-17', Statement });
      await client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
    },
  };
}

/** Makes a bucket through the S3 API; for other servers than this one too. */
export async function makeBucket(client: S3Client, { name, versioning, objectLock }: Bucket): Promise<void> {
  await client.send(new CreateBucketCommand({ Bucket: name, ObjectLockEnabledForBucket: Boolean(objectLock) }));
  if (versioning) {
    const VersioningConfiguration = { Status: 'Enabled' } as const;
    await client.send(new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration }));
  }
  if (typeof objectLock !== 'object') return;
  const Rule = { DefaultRetention: { Mode: objectLock.mode, Days: objectLock.days } };
  const ObjectLockConfiguration = { ObjectLockEnabled: 'Enabled', Rule } as const;
  await client.send(new PutObjectLockConfigurationCommand({ Bucket: name, ObjectLockConfiguration }));
}

function newAccount(): Account {
  return { accessKeyId: randomBytes(10).toString('hex'), secretAccessKey: randomBytes(20).toString('hex') };
}

/** The gateway's own table of accounts. */
function users({ accessKeyId, secretAccessKey }: Account): string {
  const account = { access: accessKeyId, secret: secretAccessKey, role: 'user', userID: 0, groupID: 0, projectID: 0 };
  return JSON.stringify({ accessAccounts: { [accessKeyId]: account } });
}
