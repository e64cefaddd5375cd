// Requests to one bucket: each tried again while that helps, each failure an ImpoundError that says what to do.
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  GetObjectLockConfigurationCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectVersionsCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { StoredPart } from '../../format/record.ts';
import { base64Of } from './checksum.ts';
import { isBroken, isMissing, isNamed, isRetryable, isSilent, s3Error } from './error.ts';
import { contiguousParts, realVersion } from './listing.ts';
import { needsLock, type Protection, protectionFields, unlocked } from './protection.ts';
import { PATIENCE, type Patience, pause, retrying } from './retry.ts';

export interface BucketOptions {
  readonly client: S3Client;
  readonly bucket: string;
  readonly protection?: Protection;
  readonly patience?: Patience;
}

/** One object as the store tells of it. */
export interface Head {
  readonly size: number;
  /** Base64 of its SHA-256; "BASE64-N" of an object of N parts is the digest of their digests. */
  readonly checksum: string | undefined;
  readonly versionId: string | undefined;
  readonly etag: string | undefined;
}

/** What it said of what it took, as far as it said anything. */
export type Answer = Partial<Omit<Head, 'size'>>;

export interface UploadedPart extends StoredPart {
  readonly number: number;
  readonly etag: string;
}

/** Bytes whose SHA-256 the store is told, so that it takes no others. */
export interface Body {
  readonly bytes: Uint8Array;
  /** Base64. */
  readonly checksum: string;
}

/** What bytes are to be, without them. */
export interface Content {
  readonly size: number;
  /** Base64. */
  readonly checksum: string;
}

/** For a server that has never answered: its name or the network is wrong, and a person waits to be told. */
const FIRST_PATIENCE: Patience = { milliseconds: 8000 };

/** Not "Bucket", after which the SDK names a property: TypeScript 7.0 emits that property as the class. */
export class S3Bucket {
  readonly #options: BucketOptions;
  /** It was reached once, so that it may come back. */
  #answered = false;
  #suitable = false;

  constructor(options: BucketOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.bucket;
  }

  get patience(): Patience {
    return this.#options.patience ?? PATIENCE;
  }

  /** For whoever signs a command for somebody else to send. */
  get client(): S3Client {
    return this.#options.client;
  }

  /** Once, with the bucket's protection; without bytes where it is only signed. */
  putCommand(key: string, { size, checksum }: Content, bytes?: Uint8Array): PutObjectCommand {
    return new PutObjectCommand({
      ...this.#at(key),
      ...protectionFields(this.#options.protection),
      ...(bytes === undefined ? {} : { Body: bytes }),
      ContentLength: size,
      ChecksumSHA256: checksum,
      IfNoneMatch: '*',
    });
  }

  partCommand(
    key: string,
    upload: string,
    number: number,
    { size, checksum }: Content,
    bytes?: Uint8Array,
  ): UploadPartCommand {
    return new UploadPartCommand({
      ...this.#at(key),
      UploadId: upload,
      PartNumber: number,
      ...(bytes === undefined ? {} : { Body: bytes }),
      ContentLength: size,
      ChecksumSHA256: checksum,
    });
  }

  /**
   * `work` is told which attempt it is: an answer that was lost may have been a success. `ask` is asked after a connection
   * broke: it throws the reason where there is one, and says false where another try would be told the same.
   */
  async attempt<T>(
    action: string,
    key: string | undefined,
    work: (client: S3Client, attempt: number) => Promise<T>,
    ask?: (error: unknown) => Promise<boolean>,
  ): Promise<T> {
    const { client, patience, name: bucket } = this;
    const asked = async (attempt: number): Promise<T> => {
      const answer = await work(client, attempt);
      this.#answered = true;
      return answer;
    };
    const isHopeful = (error: unknown): boolean | Promise<boolean> =>
      isRetryable(error) && (ask === undefined || !isBroken(error) || ask(error));
    try {
      return await retrying(asked, isHopeful, this.#answered ? patience : shorter(patience, FIRST_PATIENCE));
    } catch (error) {
      throw s3Error(error, { action, bucket, ...(key === undefined ? {} : { key }) });
    }
  }

  /** Once: a key that is taken answers 412. */
  put(key: string, { bytes, checksum }: Body, attempted: (attempt: number) => void): Promise<Answer> {
    const isFree = async (): Promise<boolean> => (await this.head(key)) === undefined;
    const work = async (client: S3Client, attempt: number) => {
      attempted(attempt);
      return answerOf(await client.send(this.putCommand(key, { size: bytes.length, checksum }, bytes)));
    };
    return this.attempt('PutObject', key, work, isFree);
  }

  /** Undefined where there is none. */
  async head(key: string, versionId?: string): Promise<Head | undefined> {
    return this.attempt('GetObject', key, async (client) => {
      try {
        const command = new HeadObjectCommand({ ...this.#at(key), VersionId: versionId, ChecksumMode: 'ENABLED' });
        return headOf(await client.send(command));
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    });
  }

  createUpload(key: string): Promise<string> {
    return this.attempt('PutObject', key, async (client) => {
      const command = new CreateMultipartUploadCommand({
        ...this.#at(key),
        ...protectionFields(this.#options.protection),
        ChecksumAlgorithm: 'SHA256',
      });
      return (await client.send(command)).UploadId ?? '';
    });
  }

  /** ETag of the part. */
  uploadPart(key: string, upload: string, number: number, { bytes, checksum }: Body): Promise<string> {
    const isThere = async (): Promise<boolean> => {
      await contiguousParts(this, key, upload);
      return true;
    };
    const work = async (client: S3Client) => {
      const content = { size: bytes.length, checksum };
      const { ETag } = await client.send(this.partCommand(key, upload, number, content, bytes));
      return ETag ?? '';
    };
    return this.attempt('PutObject', key, work, isThere);
  }

  /** `parts` are all, from number 1 on: some servers take a list with one missing without a word. */
  completeUpload(
    key: string,
    upload: string,
    parts: readonly UploadedPart[],
    attempted: (attempt: number) => void,
  ): Promise<Answer> {
    // some servers say nothing while they put a large object together: asked once more meanwhile, they would do it twice
    const isFree = async (error: unknown): Promise<boolean> =>
      !isSilent(error) || (await this.awaited(key)) === undefined;
    const work = async (client: S3Client, attempt: number) => {
      attempted(attempt);
      const answer = await client.send(
        new CompleteMultipartUploadCommand({
          ...this.#at(key),
          UploadId: upload,
          IfNoneMatch: '*',
          MultipartUpload: {
            Parts: parts.map(({ number, etag, sha256 }) => ({
              PartNumber: number,
              ETag: etag,
              ChecksumSHA256: base64Of(sha256),
            })),
          },
        }),
      );
      return answerOf(answer);
    };
    return this.attempt('PutObject', key, work, isFree);
  }

  /** Of an object that is being put together: undefined where it is not there in all the patience. */
  async awaited(key: string): Promise<Head | undefined> {
    const begun = performance.now();
    for (let attempt = 1; ; attempt++) {
      const seen = await this.head(key);
      if (seen !== undefined || performance.now() - begun > this.patience.milliseconds) return seen;
      await pause(attempt);
    }
  }

  /** The stream breaks off where the connection does. */
  async get(
    key: string,
    range: { start: number; end?: number },
    versionId?: string,
  ): Promise<AsyncIterable<Uint8Array>> {
    const last = range.end === undefined ? '' : String(range.end - 1);
    const Range = range.start === 0 && last === '' ? undefined : `bytes=${range.start}-${last}`;
    return this.attempt('GetObject', key, async (client) => {
      const { Body } = await client.send(new GetObjectCommand({ ...this.#at(key), Range, VersionId: versionId }));
      return (Body ?? []) as AsyncIterable<Uint8Array>;
    });
  }

  /**
   * Throws where it cannot be asked, and `store-unlocked` where its objects are to be locked and it has no Object Lock. Asked
   * once: no bucket loses that, and what else may change each put is told.
   */
  async assertSuitable(): Promise<void> {
    if (this.#suitable) return;
    // not HEAD, whose answer has no body that could name the reason
    await this.attempt('ListBucketVersions', undefined, (client) =>
      client.send(new ListObjectVersionsCommand({ Bucket: this.name, MaxKeys: 1 })),
    );
    if (needsLock(this.#options.protection) && !(await this.#isLockable())) throw unlocked(this.name);
    this.#suitable = true;
  }

  async #isLockable(): Promise<boolean> {
    return this.attempt('GetBucketObjectLockConfiguration', undefined, async (client) => {
      try {
        const answer = await client.send(new GetObjectLockConfigurationCommand({ Bucket: this.name }));
        return answer.ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled';
      } catch (error) {
        if (isNamed(error, 'ObjectLockConfigurationNotFoundError')) return false;
        throw error;
      }
    });
  }

  #at(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.name, Key: key };
  }
}

function headOf(answer: HeadObjectCommandOutput): Head {
  return { size: answer.ContentLength ?? 0, ...answerOf(answer) };
}

function answerOf(answer: Pick<HeadObjectCommandOutput, 'ChecksumSHA256' | 'VersionId' | 'ETag'>): Omit<Head, 'size'> {
  return { checksum: answer.ChecksumSHA256, versionId: realVersion(answer.VersionId), etag: answer.ETag };
}

function shorter(a: Patience, b: Patience): Patience {
  return a.milliseconds < b.milliseconds ? a : b;
}
