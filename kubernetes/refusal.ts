// What went wrong with a request to the API server, as an error with a stable code.
import { describeError, type ErrorCode, errnoOf, ImpoundError } from '../evidence/index.ts';

const MAX_MESSAGE = 1000;

/** The request that failed. */
export interface Failed {
  readonly method: string;
  readonly path: string;
}

/** Of an answer that is not 2xx: https://kubernetes.io/docs/reference/using-api/api-concepts/ */
export function refusal(sent: Failed, status: number, text: string): ImpoundError {
  let message = `HTTP ${status}`;
  try {
    const told = (JSON.parse(text) as { readonly message?: unknown } | null)?.message;
    if (typeof told === 'string') message = told.slice(0, MAX_MESSAGE);
  } catch {
    // a proxy's answer, or none: the status has to do
  }
  return apiError(codeOf(status), `the API server refused ${sent.method} ${sent.path}: ${message}`, sent);
}

function codeOf(status: number): ErrorCode {
  if (status === 401 || status === 403) return 'api-denied';
  if (status === 404) return 'api-missing';
  if (status === 409) return 'api-conflict';
  if (status === 410) return 'api-expired';
  if ([400, 413, 415, 422].includes(status)) return 'api-invalid';
  return 'api-failed';
}

/** Of anything thrown on the way; `aborted`: the one who asked gave it up. */
export function failure(sent: Failed, error: unknown, aborted: boolean): ImpoundError {
  if (error instanceof ImpoundError) return error;
  const what = `${sent.method} ${sent.path}`;
  if (aborted) return apiError('aborted', `${what} was given up`, sent, error);
  if (error instanceof SyntaxError)
    return apiError('api-failed', `the API server's answer to ${what} is not JSON`, sent, error);
  const reason = errnoOf(error) ?? describeError(error);
  return apiError('api-unreachable', `no answer from the API server to ${what}: ${reason}`, sent, error);
}

export function apiError(code: ErrorCode, message: string, { method, path }: Failed, cause?: unknown): ImpoundError {
  return new ImpoundError(code, message, { operation: method, thing: path, cause });
}
