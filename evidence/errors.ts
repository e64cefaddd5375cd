// The one error class: a stable code for programs, a message that says what a person must do.

/** Codes are part of the interface: scripts match on them, so a code is never renamed. */
export type ErrorCode =
  | 'usage'
  | 'unknown-collector'
  | 'key-unreadable'
  | 'key-unwritable'
  | 'key-unsuitable'
  | 'key-exists'
  | 'store-not-directory'
  | 'store-denied'
  | 'store-full'
  | 'store-failed'
  | 'store-unreachable'
  | 'store-credentials'
  | 'store-missing'
  | 'store-region'
  | 'store-clock'
  | 'store-unlocked'
  | 'store-unsuitable'
  | 'grant-refused'
  | 'object-exists'
  | 'object-missing'
  | 'path-invalid'
  | 'not-a-bundle'
  | 'bundle-sealed'
  | 'bundle-busy'
  | 'entry-invalid'
  | 'entry-too-large'
  | 'chain-broken'
  | 'chain-contended'
  | 'content-damaged'
  | 'content-too-large'
  | 'engine-unreachable'
  | 'engine-refused'
  | 'cloud-credentials'
  | 'cloud-denied'
  | 'cloud-failed'
  | 'cloud-unreachable'
  | 'api-unreachable'
  | 'api-denied'
  | 'api-missing'
  | 'api-conflict'
  | 'api-expired'
  | 'api-invalid'
  | 'api-failed'
  | 'controller-unreachable'
  | 'controller-denied'
  | 'controller-refused'
  | 'controller-untrusted'
  | 'capture-over'
  | 'tsa-unavailable'
  | 'certificate-unreadable'
  | 'certificate-unsuitable'
  | 'deadline'
  | 'aborted'
  | 'internal';

/** `operation` is the verb that failed ("put", "read key"), `thing` what it failed on (a path, a name). */
export interface ErrorContext {
  readonly operation: string;
  readonly thing?: string;
  readonly cause?: unknown;
}

export class ImpoundError extends Error {
  override readonly name = 'ImpoundError';
  readonly code: ErrorCode;
  readonly operation: string;
  readonly thing: string | undefined;

  constructor(code: ErrorCode, message: string, context: ErrorContext) {
    super(message, context.cause === undefined ? undefined : { cause: context.cause });
    this.code = code;
    this.operation = context.operation;
    this.thing = context.thing;
  }
}

/** The errno name ("ENOENT") of a system error, or undefined for anything else. */
export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** Codes of X509_verify_cert(3), as Node has them, and its own for another name. */
const OF_CERTIFICATE =
  /^(CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_|PATH_LENGTH_|ERR_TLS_CERT_ALTNAME_INVALID)/;

/** OpenSSL's word for why the certificate at the other end was not taken; undefined where it is no certificate's fault. */
export function certificateCode(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && OF_CERTIFICATE.test(code) ? code : undefined;
}

/** One line about an error of any kind, for a gap's detail or a log line. */
export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
