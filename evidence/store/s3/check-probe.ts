// What the checks of a bucket share: the requests they make, where their probe objects stand, what was found so far.
import type { S3Client } from '@aws-sdk/client-s3';
import { sha256 } from '../../format/digest.ts';
import type { S3Location } from '../location.ts';
import { type Body, S3Bucket } from './bucket.ts';
import { base64Of } from './checksum.ts';
import { type S3Access, s3Client } from './client.ts';
import type { Protection } from './protection.ts';
import type { Patience } from './retry.ts';

/** Long enough that a delete is tried within it, short enough that the probe is in nobody's way. */
export const BRIEF_SECONDS = 120;
/** A person waits for the answer. */
const PATIENCE: Patience = { milliseconds: 5000 };
const ONCE: Patience = { milliseconds: 0 };
const DAY_SECONDS = 86_400;

export interface ProbeOptions extends S3Location, S3Access {
  /** What captures are going to ask for. */
  readonly protection?: Protection;
  readonly patience?: Patience;
  /** Milliseconds since 1970, as this machine has them: requests are signed with it. */
  readonly clock?: () => number;
}

/** An answer of the store as it came, before anything is made of it. Times are this machine's, in milliseconds. */
export interface Answer {
  readonly sent: number;
  readonly received: number;
  /** The store's clock, to a second. */
  readonly date: number | undefined;
  readonly region: string | undefined;
}

/** What earlier checks leave to later ones. */
export interface Found {
  /** Of the first request: what the store said, where that was no. */
  refused?: unknown;
  object?: { readonly key: string; readonly versionId: string | undefined; readonly protection: Protection };
  /** The protection that the probe was to have and that the store did not take. */
  briefRefused?: unknown;
  upload?: { readonly id: string; readonly etag: string };
  /** The bucket has no Object Lock. */
  unlocked?: true;
  /** The bucket's own retention: "COMPLIANCE for 365 days". */
  defaultRetention?: string;
  objects: number;
  uploads: number;
}

export interface Probe {
  readonly client: S3Client;
  readonly bucket: string;
  readonly asked: Protection;
  /** Begins every key, ends in "/". */
  readonly folder: string;
  readonly keys: { readonly object: string; readonly unlocked: string; readonly parts: string; readonly wrong: string };
  readonly body: Body;
  /** Other bytes than `body`. */
  readonly other: Body;
  readonly plain: S3Bucket;
  /** Says no digest of a body but its checksum's, so that nothing but the checksum can refuse it; tries once. */
  readonly checksumOnly: S3Bucket;
  readonly with: (protection: Protection) => S3Bucket;
  /** The newest answer. */
  readonly answer: () => Answer | undefined;
  readonly clock: () => number;
  readonly found: Found;
}

export function probeOf(options: ProbeOptions, id: string): Probe {
  const { bucket, prefix, protection: asked = {}, patience = PATIENCE, clock = Date.now } = options;
  const client = s3Client(options);
  const signing = s3Client(options);
  signing.middlewareStack.remove('knownPayloadHash');
  for (const one of [client, signing]) one.config.systemClockOffset = clock() - Date.now();
  const folder = `${prefix === '' ? '' : `${prefix}/`}.impound-check/${id}/`;
  const made = (protection: Protection): S3Bucket => new S3Bucket({ client, bucket, patience, protection });
  const now = new Date(clock()).toISOString();
  return {
    client,
    bucket,
    asked,
    folder,
    keys: {
      object: `${folder}object`,
      unlocked: `${folder}object-unlocked`,
      parts: `${folder}parts`,
      wrong: `${folder}wrong`,
    },
    body: bodyOf(`"impound check" tried here at ${now} whether this store can take evidence. No evidence.\n`),
    other: bodyOf('other bytes, which must not get in\n'),
    plain: made({}),
    checksumOnly: new S3Bucket({ client: signing, bucket, patience: ONCE }),
    with: made,
    answer: lastAnswer(client, clock),
    clock,
    found: { objects: 0, uploads: 0 },
  };
}

/** What the probe objects are stored with: encrypted as asked, and locked for minutes where days were asked for. */
export function briefly({ asked, answer, clock, found }: Probe): Protection {
  const { kmsKey } = asked;
  const retention = found.unlocked === true ? undefined : asked.retention;
  // counted by the store's clock, and written by ours
  const behind = Math.max(0, ((answer()?.date ?? 0) - clock()) / 1000);
  const days = (BRIEF_SECONDS + behind) / DAY_SECONDS;
  return {
    ...(retention === undefined ? {} : { retention: { mode: retention.mode, days } }),
    ...(kmsKey === undefined ? {} : { kmsKey }),
  };
}

/** Of the probe that was written. */
export function objectKey({ object }: Found): string {
  if (object === undefined) throw new Error('no probe was written');
  return object.key;
}

function bodyOf(text: string): Body {
  const bytes = Buffer.from(text);
  return { bytes, checksum: base64Of(sha256(bytes)) };
}

function lastAnswer(client: S3Client, clock: () => number): () => Answer | undefined {
  let last: Answer | undefined;
  client.middlewareStack.add(
    (next) => async (args) => {
      const sent = clock();
      const result = await next(args);
      const { headers = {} } = (result.response ?? {}) as { readonly headers?: Record<string, string> };
      const date = Date.parse(headers.date ?? '');
      last = {
        sent,
        received: clock(),
        date: Number.isNaN(date) ? undefined : date,
        region: headers['x-amz-bucket-region'],
      };
      return result;
    },
    // next to the wire: refusals pass here too, before they become errors
    { step: 'deserialize', priority: 'low', name: 'lastAnswer' },
  );
  return () => last;
}
