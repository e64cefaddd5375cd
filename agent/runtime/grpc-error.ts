// What went wrong between Impound and a gRPC server, as one ImpoundError with a code that collectors act on.
import { describeError, errnoOf, ImpoundError } from '../../evidence/index.ts';

/** The server's answer instead of a message (grpc.io, "Status codes"): the cause of an `engine-refused`. */
export interface GrpcStatus {
  readonly status: number;
  readonly message: string;
}

export interface GrpcCall {
  /** "runtime.v1.RuntimeService/Version" */
  readonly operation: string;
  readonly thing: string;
  readonly seconds: number;
  readonly caller: AbortSignal;
}

export const STATUS = {
  cancelled: 1,
  invalidArgument: 3,
  deadline: 4,
  notFound: 5,
  denied: 7,
  exhausted: 8,
  unimplemented: 12,
  unavailable: 14,
} as const;

const MESSAGE_LENGTH = 300;

/**
 * deadline: no whole answer in time; aborted: the caller stopped; engine-unreachable: nobody listens or the connection
 * broke; content-too-large; engine-refused: permission, a refusal, or an answer that is no gRPC.
 */
export function grpcError(error: unknown, call: GrpcCall): ImpoundError {
  if (error instanceof ImpoundError) return error;
  const context = { operation: call.operation, thing: call.thing, cause: error };
  if (call.caller.aborted)
    return new ImpoundError('aborted', `${call.operation}: stopped before it was answered`, context);
  const errno = connectErrno(error);
  if (errno === 'EACCES' || errno === 'EPERM')
    return new ImpoundError('engine-refused', 'the socket may not be used: run as root', {
      ...context,
      cause: withErrno(errno),
    });
  if (errno !== undefined)
    return new ImpoundError('engine-unreachable', unreachable(errno), { ...context, cause: withErrno(errno) });
  const said = statusOf(error);
  const cause: GrpcStatus = { status: said.status, message: said.message };
  switch (said.status) {
    case STATUS.deadline:
      return new ImpoundError('deadline', `no answer within ${call.seconds} s`, { ...context, cause });
    case STATUS.unavailable:
      return new ImpoundError('engine-unreachable', `the connection failed: ${said.message}`, { ...context, cause });
    case STATUS.exhausted:
      return new ImpoundError('content-too-large', said.message, { ...context, cause });
    default:
      return new ImpoundError('engine-refused', `refused with status ${said.status}: ${said.message}`, {
        ...context,
        cause,
      });
  }
}

/** The server's status behind an error, where it was one. */
export function grpcStatus(error: unknown): number | undefined {
  const cause = error instanceof ImpoundError ? error.cause : undefined;
  return typeof cause === 'object' && cause !== null && 'status' in cause ? Number(cause.status) : undefined;
}

/** No such file, or a socket file whose listener is gone. */
export function isNotThere(error: unknown): boolean {
  const errno = error instanceof ImpoundError ? errnoOf(error.cause) : undefined;
  return errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ECONNREFUSED';
}

function statusOf(error: unknown): GrpcStatus {
  const details = typeof error === 'object' && error !== null && 'details' in error ? error.details : undefined;
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  const message = typeof details === 'string' && details !== '' ? details : describeError(error);
  return { status: typeof code === 'number' ? code : 2, message: message.slice(0, MESSAGE_LENGTH) };
}

/** grpc-js gives the system's error of a connection as text. */
function connectErrno(error: unknown): string | undefined {
  return errnoOf(error) ?? /\bconnect (E[A-Z]+)\b/.exec(describeError(error))?.[1];
}

function withErrno(errno: string): Error {
  return Object.assign(new Error(errno), { code: errno });
}

function unreachable(errno: string): string {
  if (errno === 'ENOENT') return 'there is no such socket';
  if (errno === 'ECONNREFUSED') return 'nobody listens at the socket';
  return `the connection failed (${errno})`;
}
