// What a bucket holds: versions, uploads that did not end, and the parts of one.
import {
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandOutput,
  ListPartsCommand,
} from '@aws-sdk/client-s3';
import type { S3Bucket, UploadedPart } from './bucket.ts';
import { hexOf } from './checksum.ts';

export interface ListedVersion {
  readonly key: string;
  readonly versionId: string | undefined;
  /** Bytes; undefined for a mark that hides the versions before it. */
  readonly size: number | undefined;
}

/** Versions below `prefix`, a page after the other: by key, the newest first. */
export async function* versions(bucket: S3Bucket, prefix: string): AsyncGenerator<ListedVersion> {
  let marker: { readonly KeyMarker?: string | undefined; readonly VersionIdMarker?: string | undefined } | undefined =
    {};
  while (marker !== undefined) {
    const page = marker;
    const answer: ListObjectVersionsCommandOutput = await bucket.attempt('ListBucketVersions', undefined, (client) =>
      client.send(new ListObjectVersionsCommand({ Bucket: bucket.name, Prefix: prefix, ...page })),
    );
    const found = (answer.Versions ?? []).map((item) => listed(item, item.Size ?? 0));
    const markers = (answer.DeleteMarkers ?? []).map((item) => listed(item, undefined));
    yield* [...found, ...markers];
    marker =
      answer.IsTruncated === true
        ? { KeyMarker: answer.NextKeyMarker, VersionIdMarker: answer.NextVersionIdMarker }
        : undefined;
  }
}

/** The version that was written first; undefined where there is none of this key. `versionId` only where the bucket keeps them. */
export async function firstVersion(
  bucket: S3Bucket,
  key: string,
): Promise<{ readonly versionId: string | undefined } | undefined> {
  let first: ListedVersion | undefined;
  for await (const version of versions(bucket, key)) {
    if (version.key > key) break; // what has the key as its beginning comes after it
    if (version.key === key && version.size !== undefined) first = version;
  }
  return first;
}

/** Multipart uploads below `prefix` that were neither completed nor aborted. */
export async function* uploads(
  bucket: S3Bucket,
  prefix: string,
): AsyncGenerator<{ readonly key: string; readonly upload: string }> {
  let marker: { readonly KeyMarker?: string | undefined; readonly UploadIdMarker?: string | undefined } | undefined =
    {};
  while (marker !== undefined) {
    const page = marker;
    const answer: ListMultipartUploadsCommandOutput = await bucket.attempt(
      'ListBucketMultipartUploads',
      undefined,
      (client) => client.send(new ListMultipartUploadsCommand({ Bucket: bucket.name, Prefix: prefix, ...page })),
    );
    for (const { Key, UploadId } of answer.Uploads ?? [])
      if (Key !== undefined && UploadId !== undefined) yield { key: Key, upload: UploadId };
    marker =
      answer.IsTruncated === true
        ? { KeyMarker: answer.NextKeyMarker, UploadIdMarker: answer.NextUploadIdMarker }
        : undefined;
  }
}

/** The parts from number 1 to the first that is missing; of each the digest that the store holds. */
export async function contiguousParts(bucket: S3Bucket, key: string, upload: string): Promise<readonly UploadedPart[]> {
  const parts: UploadedPart[] = [];
  let marker: string | undefined;
  do {
    const page = { Bucket: bucket.name, Key: key, UploadId: upload, PartNumberMarker: marker };
    const answer = await bucket.attempt('ListMultipartUploadParts', key, (client) =>
      client.send(new ListPartsCommand(page)),
    );
    for (const { PartNumber, ETag, Size, ChecksumSHA256 } of answer.Parts ?? []) {
      if (PartNumber !== parts.length + 1 || ETag === undefined || ChecksumSHA256 === undefined) return parts;
      parts.push({ number: PartNumber, etag: ETag, size: Size ?? 0, sha256: hexOf(ChecksumSHA256) });
    }
    marker = answer.IsTruncated === true ? answer.NextPartNumberMarker : undefined;
  } while (marker !== undefined);
  return parts;
}

/** Undefined where the upload does not hold it. */
export async function storedPart(
  bucket: S3Bucket,
  key: string,
  upload: string,
  number: number,
): Promise<UploadedPart | undefined> {
  const at = { UploadId: upload, PartNumberMarker: String(number - 1), MaxParts: 1 };
  const answer = await bucket.attempt('ListMultipartUploadParts', key, (client) =>
    client.send(new ListPartsCommand({ Bucket: bucket.name, Key: key, ...at })),
  );
  const found = answer.Parts?.find(({ PartNumber }) => PartNumber === number);
  if (found?.ETag === undefined || found.ChecksumSHA256 === undefined) return undefined;
  return { number, etag: found.ETag, size: found.Size ?? 0, sha256: hexOf(found.ChecksumSHA256) };
}

/** "null" is what a bucket without versions says. */
export function realVersion(versionId: string | undefined): string | undefined {
  return versionId === 'null' || versionId === '' ? undefined : versionId;
}

function listed(
  item: { readonly Key?: string | undefined; readonly VersionId?: string | undefined },
  size: number | undefined,
): ListedVersion {
  return { key: item.Key ?? '', versionId: realVersion(item.VersionId), size };
}
