// What a failed request to S3 means, and what a person must do.
import { type ErrorCode, errnoOf, ImpoundError } from '../../errors.ts';

/** What the SDK tells of an answer that was none of success, and of a connection that gave none. */
export interface Failure {
  /** S3's code ("AccessDenied"), or the SDK's name of a failure of its own. */
  readonly name: string;
  readonly status: number | undefined;
  readonly message: string;
  readonly header: (name: string) => string | undefined;
}

export interface Request {
  /** IAM's name of it: "PutObject". */
  readonly action: string;
  readonly bucket: string;
  readonly key?: string;
}

const NETWORK = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'EAI_AGAIN',
  'ERR_STREAM_PREMATURE_CLOSE',
]);
const BUSY = new Set([
  'SlowDown',
  'InternalError',
  'ServiceUnavailable',
  'RequestTimeout',
  'RequestTimeTooSlow',
  'Throttling',
  'ThrottlingException',
  'TooManyRequests',
  'OperationAborted',
  // two conditional writes of one key at once: the next try is told who won
  'ConditionalRequestConflict',
  // bytes that changed on their way: the next try sends them again
  'BadDigest',
  'IncompleteBody',
  'XAmzContentSHA256Mismatch',
  'XAmzContentChecksumMismatch',
]);
/** Not implemented, and full. */
const LASTING: ReadonlySet<number> = new Set([501, 507]);
const NO_CREDENTIALS = /^(?:CredentialsProviderError|TokenProviderError|ProviderError)$/;

/** The network's and the server's passing troubles; everything else answers the same the next time. */
export function isRetryable(error: unknown): boolean {
  const { name, status } = failureOf(error);
  return (
    isBroken(error) ||
    BUSY.has(name) ||
    status === 429 ||
    (status !== undefined && status >= 500 && !LASTING.has(status))
  );
}

/**
 * The connection ended before an answer came. A server that refuses a large body may end it so: whoever sends one asks
 * for the reason in another way.
 */
export function isBroken(error: unknown): boolean {
  const { name, status, message } = failureOf(error);
  if (status !== undefined) return false;
  if (NETWORK.has(errnoOf(error) ?? '') || NETWORK.has(nodeCode(error) ?? '')) return true;
  return name === 'TimeoutError' || /socket hang up|aborted|premature close/i.test(message);
}

/** Nothing was heard for so long that the connection was given up: the server may still be at it. */
export function isSilent(error: unknown): boolean {
  const { name, message } = failureOf(error);
  // not the one of a connection that was never made
  return name === 'TimeoutError' && /inactivity/.test(message);
}

/** There is no object of this key (or no such upload), rather than no answer to the question. */
export function isMissing(error: unknown): boolean {
  const { name, status } = failureOf(error);
  if (name === 'NoSuchBucket') return false;
  return name === 'NoSuchKey' || name === 'NoSuchVersion' || name === 'NotFound' || status === 404;
}

export function isTaken(error: unknown): boolean {
  const { name, status } = failureOf(error);
  return name === 'PreconditionFailed' || status === 412;
}

export function isNamed(error: unknown, ...names: readonly string[]): boolean {
  return names.includes(failureOf(error).name);
}

/**
 * store-denied, store-credentials, store-missing (no such bucket), store-region, store-clock, store-unlocked (Object Lock
 * is asked for and the bucket has none), store-full, store-unreachable, object-missing, store-failed.
 */
export function s3Error(error: unknown, { action, bucket, key }: Request, clock = Date.now): ImpoundError {
  if (error instanceof ImpoundError) return error;
  const failure = failureOf(error);
  const { name, status, message } = failure;
  const thing = key === undefined ? `s3://${bucket}` : `s3://${bucket}/${key}`;
  const made = (code: ErrorCode, text: string): ImpoundError =>
    new ImpoundError(code, text, { operation: action, thing, cause: error });
  if (NO_CREDENTIALS.test(name))
    return made(
      'store-credentials',
      `no AWS credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret`,
    );
  if (message === 'Region is missing')
    return made('store-region', `nothing says in which AWS region ${bucket} is: give --region, or set AWS_REGION`);
  const region = failure.header('x-amz-bucket-region') ?? /expecting ['"]([a-z0-9-]+)['"]/.exec(message)?.[1];
  if (status === 301 || name === 'PermanentRedirect' || name === 'AuthorizationHeaderMalformed')
    return made('store-region', `${bucket} is in ${region ?? 'another region'}: set AWS_REGION to that`);
  switch (name) {
    case 'NoSuchBucket':
      return made('store-missing', `there is no bucket ${bucket}: see its name, and the account of your credentials`);
    case 'RequestTimeTooSkewed':
      return made('store-clock', `the store refuses this machine's clock, ${skewOf(failure, clock())}: set the clock`);
    case 'RequestExpired':
    case 'ExpiredToken':
    case 'ExpiredTokenException':
      return made('store-credentials', `the AWS credentials have expired (${action}): get new ones`);
    case 'InvalidAccessKeyId':
    case 'SignatureDoesNotMatch':
    case 'InvalidToken':
      return made('store-credentials', `the store does not accept these AWS credentials (${name}): see key and secret`);
    case 'ObjectLockConfigurationNotFoundError':
    case 'InvalidBucketObjectLockConfiguration':
      return made('store-unlocked', unlocked(bucket));
    case 'InvalidRequest':
      if (/object lock/i.test(message)) return made('store-unlocked', unlocked(bucket));
  }
  if (status === 403)
    return made(
      'store-denied',
      `s3:${action} on ${thing} is not allowed: give this identity that permission (${name})`,
    );
  if (status === 507)
    return made('store-full', `the store is full (${action} ${thing}): make room, or use another --store`);
  if (isMissing(error)) return made('object-missing', `${thing}: no such object`);
  if (isBroken(error))
    return made('store-unreachable', `no answer from the store (${action} ${thing}): ${reasonOf(error, message)}`);
  return made(
    'store-failed',
    `the store failed (${action} ${thing}): ${name}${status === undefined ? '' : ` ${status}`}, ${message}`,
  );
}

/** HTTP's; undefined where no answer came, and of an error of ours. */
export function statusOf(error: unknown): number | undefined {
  const metadata = error instanceof Error && '$metadata' in error ? error.$metadata : undefined;
  return (metadata as { readonly httpStatusCode?: number } | undefined)?.httpStatusCode;
}

/** The SDK's error behind one of ours. */
export function causeOf(error: unknown): unknown {
  return error instanceof ImpoundError ? error.cause : error;
}

function unlocked(bucket: string): string {
  return `${bucket} has no Object Lock, and retention was asked for: make the bucket with it, or leave --retain away`;
}

/** "20 minutes ahead of it": the answer's own date tells. */
function skewOf(failure: Failure, now: number): string {
  const theirs = Date.parse(failure.header('date') ?? '');
  if (Number.isNaN(theirs)) return 'which is too far from its own';
  const seconds = Math.round((now - theirs) / 1000);
  const amount = Math.abs(seconds) < 120 ? `${Math.abs(seconds)} s` : `${Math.round(Math.abs(seconds) / 60)} minutes`;
  return `${amount} ${seconds > 0 ? 'ahead of' : 'behind'} its own`;
}

function reasonOf(error: unknown, message: string): string {
  return errnoOf(error) ?? nodeCode(error) ?? message;
}

function nodeCode(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

function failureOf(error: unknown): Failure {
  if (!(error instanceof Error))
    return { name: '', status: undefined, message: String(error), header: () => undefined };
  const response =
    '$response' in error ? (error.$response as { readonly headers?: Record<string, string> }) : undefined;
  return {
    name: error.name,
    status: statusOf(error),
    message: error.message.slice(0, 300),
    header: (name) => response?.headers?.[name],
  };
}
