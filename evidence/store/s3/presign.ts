// Signs one request for somebody else to send. Of a PUT, whatever the store shall enforce stands in a signed header, never in the query,
// where servers pass it by.
import { GetObjectCommand, PutObjectCommand, type S3Client, type UploadPartCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { Grant } from '../upload/grants.ts';
import { MAX_SECONDS } from '../upload/limits.ts';

/** The presigner would move these into the query, where they bind nobody. */
const UNHOISTABLE = [
  'x-amz-checksum-sha256',
  'x-amz-object-lock-mode',
  'x-amz-object-lock-retain-until-date',
  'x-amz-object-lock-legal-hold',
  'x-amz-server-side-encryption',
  'x-amz-server-side-encryption-aws-kms-key-id',
] as const;
/** Those that bind the request, whatever the SDK thinks of them. */
const BINDING =
  /^(?:content-length|if-none-match|x-amz-(?:checksum|object-lock|server-side-encryption|acl|tagging)[a-z0-9-]*)$/;
const REQUIRED = ['content-length', 'x-amz-checksum-sha256'] as const;
/** A part has no such condition: only the request that completes its upload. */
const REQUIRED_WHOLE = [...REQUIRED, 'if-none-match'] as const;

/** The command has ContentLength and ChecksumSHA256, a whole object's IfNoneMatch too. More seconds are cut to the most. */
export async function presign(
  client: S3Client,
  command: PutObjectCommand | UploadPartCommand,
  seconds: number,
): Promise<Grant> {
  const headers: Record<string, string> = {};
  const signingDate = new Date();
  const expiresIn = lifeOf(seconds);
  // both are signed the same way
  const signed = command as PutObjectCommand;
  signed.middlewareStack.add(
    (next) => (args) => {
      const { request } = args as { readonly request: { readonly headers: Record<string, string> } };
      // a payload's hash in the query would be signed and enforced by some servers only
      delete request.headers['x-amz-content-sha256'];
      for (const [name, value] of Object.entries(request.headers))
        if (BINDING.test(name.toLowerCase())) headers[name.toLowerCase()] = value;
      return next(args);
    },
    { step: 'build', priority: 'low', name: 'headersToSign' },
  );
  const options = { expiresIn, signingDate, unhoistableHeaders: new Set<string>(UNHOISTABLE) };
  const url = await getSignedUrl(client, signed, options);
  assertBound(new URL(url), headers, command instanceof PutObjectCommand ? REQUIRED_WHOLE : REQUIRED);
  return { url, headers, expires: new Date(signingDate.getTime() + expiresIn * 1000).toISOString() };
}

export interface Reading {
  readonly bucket: string;
  readonly key: string;
  readonly versionId: string | undefined;
  /** What a browser calls the file that it saves. */
  readonly name: string;
}

/** A URL to GET one version, as a file: no browser shows what a suspect host wrote. */
export function presignGet(
  client: S3Client,
  { bucket, key, versionId, name }: Reading,
  seconds: number,
): Promise<string> {
  const command = new GetObjectCommand({
    Bucket: bucket,
    Key: key,
    VersionId: versionId,
    ResponseContentDisposition: `attachment; filename="${name}"`,
    ResponseContentType: 'application/octet-stream',
  });
  return getSignedUrl(client, command, { expiresIn: lifeOf(seconds) });
}

function lifeOf(seconds: number): number {
  return Math.max(1, Math.min(seconds, MAX_SECONDS));
}

/** A URL that does not bind its sender to the bytes must never leave: the SDK's habits change. */
function assertBound(
  { searchParams }: URL,
  headers: Readonly<Record<string, string>>,
  required: readonly string[],
): void {
  const signed = new Set((searchParams.get('X-Amz-SignedHeaders') ?? '').split(';'));
  const loose = [...required, ...Object.keys(headers)].filter((name) => !signed.has(name) || !(name in headers));
  const hoisted = [...searchParams.keys()].filter((name) => BINDING.test(name.toLowerCase()));
  if (loose.length + hoisted.length > 0)
    throw new Error(`a URL was signed without ${[...loose, ...hoisted].join(', ')} among its headers`);
}
