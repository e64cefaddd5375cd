// What went wrong between Impound and a Docker engine, as one ImpoundError with a code that collectors act on.
import { describeError, errnoOf, ImpoundError } from '../../evidence/index.ts';

/** What the engine said instead of an answer: the cause of an `engine-refused`. */
export interface EngineStatus {
  readonly status: number;
  readonly message: string;
}

/** One call: its verb, its object, its bound in seconds, and the caller's signal, to tell a deadline from a stop. */
export interface CallContext {
  readonly operation: string;
  readonly thing: string;
  readonly seconds: number;
  readonly caller: AbortSignal;
  readonly deadline: AbortSignal;
}

/**
 * deadline: no whole answer in time; aborted: the caller stopped; engine-unreachable: nobody listens or the connection
 * broke; engine-refused: permission, or an answer that is not one of Docker's.
 */
export function engineError(error: unknown, call: CallContext): ImpoundError {
  if (error instanceof ImpoundError) return error;
  const context = { operation: call.operation, thing: call.thing, cause: error };
  if (call.caller.aborted)
    return new ImpoundError('aborted', `${call.operation}: stopped before it was answered`, context);
  if (call.deadline.aborted) {
    return new ImpoundError('deadline', `the Docker engine did not answer within ${call.seconds} s`, context);
  }
  const errno = errnoOf(error);
  if (errno === 'EACCES' || errno === 'EPERM') {
    const message = 'the Docker engine may not be asked: run as root or as a member of the group docker';
    return new ImpoundError('engine-refused', message, context);
  }
  if (errno !== undefined) return new ImpoundError('engine-unreachable', unreachable(errno), context);
  const message = `what answers is not a Docker engine: ${describeError(error)}`.slice(0, 300);
  return new ImpoundError('engine-refused', message, context);
}

/** An answer with a status that is none of success. The engine's own words are kept, cut to a line. */
export function statusError(status: number, body: Buffer, call: CallContext): ImpoundError {
  const cause: EngineStatus = { status, message: messageOf(body) };
  const said = cause.message === '' ? '' : `: ${cause.message}`;
  const context = { operation: call.operation, thing: call.thing, cause };
  return new ImpoundError('engine-refused', `the Docker engine answered ${status}${said}`, context);
}

/** The engine's status behind an error, where it was one. */
export function engineStatus(error: unknown): EngineStatus | undefined {
  const cause = error instanceof ImpoundError ? error.cause : undefined;
  return typeof cause === 'object' && cause !== null && 'status' in cause ? (cause as EngineStatus) : undefined;
}

function unreachable(errno: string): string {
  if (errno === 'ENOENT') return 'there is no such socket';
  if (errno === 'ECONNREFUSED') return 'nobody listens at the socket';
  return `the connection to the Docker engine failed (${errno})`;
}

function messageOf(body: Buffer): string {
  const text = body.toString('utf8');
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && 'message' in value) return String(value.message).slice(0, 300);
  } catch {
    // not Docker's error document: its text is the message
  }
  return text.trim().slice(0, 300);
}
