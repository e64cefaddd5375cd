// What a failed call of AWS was about: an ImpoundError that says what a person must do.
import { describeError, type ErrorCode, ImpoundError } from '../evidence/index.ts';

export interface Call {
  /** The verb, as in ErrorContext: "sign". */
  readonly operation: string;
  /** What it was called on: a key's ARN. */
  readonly thing: string;
  /** As policies name it: "kms:Sign". */
  readonly action: string;
}

/** What the SDK's errors carry beside a name and a message. */
interface SdkError extends Error {
  readonly code?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

const CREDENTIALS =
  /^(CredentialsProviderError|TokenProviderError|ExpiredToken(Exception)?|UnrecognizedClientException|InvalidClientTokenId|InvalidSignatureException|SignatureDoesNotMatch|IncompleteSignature(Exception)?|MissingAuthenticationToken(Exception)?)$/;
const DENIED = /^(AccessDenied(Exception)?|NotAuthorized|OptInRequired|UnauthorizedOperation)$/;
const UNREACHABLE =
  /^(TimeoutError|NetworkingError|ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE)$/;

/** For errors of any kind. `known` has the service's own errors, by name, with their code and message. */
export function cloudFailure(
  error: unknown,
  call: Call,
  known: Readonly<Record<string, readonly [ErrorCode, string]>> = {},
): ImpoundError {
  if (error instanceof ImpoundError) return error;
  const [code, message] = known[nameOf(error)] ?? general(error, call);
  return new ImpoundError(code, message, { operation: call.operation, thing: call.thing, cause: error });
}

function general(error: unknown, { thing, action }: Call): readonly [ErrorCode, string] {
  const name = nameOf(error);
  const said = describeError(error).split('\n', 1)[0];
  const status = (error as SdkError | undefined)?.$metadata?.httpStatusCode;
  if (name === 'AbortError') return ['aborted', `${action} on ${thing} was stopped`];
  if (said === 'Region is missing') {
    return ['usage', `no AWS region for ${thing}: give its ARN, or set AWS_REGION or the profile's region`];
  }
  if (CREDENTIALS.test(name)) {
    return [
      'cloud-credentials',
      `AWS has no valid credentials for ${action} on ${thing}: set AWS_PROFILE, sign in again, or give the role: ${said}`,
    ];
  }
  // whatever its form: a proxy on the way may refuse too
  if (DENIED.test(name) || status === 403) {
    return [
      'cloud-denied',
      `AWS does not allow ${action} on ${thing}: allow it to the role or user that asks: ${said}`,
    ];
  }
  if (UNREACHABLE.test(name) || UNREACHABLE.test(systemCode(error))) {
    return [
      'cloud-unreachable',
      `AWS does not answer ${action} on ${thing}: check the way to it, or its VPC endpoint: ${said}`,
    ];
  }
  return ['cloud-failed', `AWS answered ${action} on ${thing} with ${name}${status ? ` (${status})` : ''}: ${said}`];
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'an error';
}

function systemCode(error: unknown): string {
  const code = error instanceof Error ? (error as SdkError).code : undefined;
  return typeof code === 'string' ? code : '';
}
