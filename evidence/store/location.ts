// Where a store is, as a person writes it: a directory, or s3://bucket/prefix.
import { ImpoundError } from '../errors.ts';
import { isBundlePath } from '../format/layout.ts';

export interface S3Location {
  readonly bucket: string;
  /** Without "/" at either end; empty for the whole bucket. */
  readonly prefix: string;
}

/** Undefined for what is no such URL; throws `usage` for one that names no bucket or a prefix that no bundle can have. */
export function parseS3Url(text: string): S3Location | undefined {
  if (!/^s3:\/\//i.test(text)) return undefined;
  const [bucket = '', ...rest] = text.slice('s3://'.length).split('/');
  const prefix = rest.join('/').replace(/\/+$/, '');
  const wrong = (why: string): ImpoundError =>
    new ImpoundError('usage', `${text}: ${why}; a store is written s3://BUCKET/PREFIX`, {
      operation: 'read arguments',
      thing: text,
    });
  // names of buckets, access points and their aliases: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) throw wrong(`"${bucket}" is no name of a bucket`);
  if (prefix !== '' && !isBundlePath(prefix))
    throw wrong(`the prefix may have letters, digits, ".", "_" and "-" between "/"`);
  return { bucket, prefix };
}

export function s3Url({ bucket, prefix }: S3Location): string {
  return prefix === '' ? `s3://${bucket}` : `s3://${bucket}/${prefix}`;
}
