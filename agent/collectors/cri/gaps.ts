// Which gap a runtime's failure is, in the same words for the same cause.
import { type GapReport, gap } from '../../../capture/index.ts';
import { describeError, errnoOf, ImpoundError } from '../../../evidence/index.ts';
import { grpcStatus, STATUS } from '../../runtime/grpc-error.ts';

/** `name` is the thing that could not be had; `stopped` tells a stopped capture from a collector out of time. */
export function runtimeGap(error: unknown, name: string, stopped: AbortSignal): GapReport {
  const message = describeError(error);
  if (!(error instanceof ImpoundError)) return gap('failed', name, message);
  if (error.code === 'deadline') return gap('timeout', name, message);
  if (error.code === 'content-too-large') return gap('truncated', name, message);
  if (error.code === 'aborted') {
    if (stopped.aborted) return gap('aborted', name, 'the capture was stopped before the runtime had answered');
    return gap('timeout', name, "the collector's time was used up before the runtime had answered");
  }
  const errno = errnoOf(error.cause);
  if (errno === 'EACCES' || errno === 'EPERM') return gap('denied', name, message);
  switch (grpcStatus(error)) {
    case STATUS.notFound:
      return gap('vanished', name, 'it was gone when the runtime was asked about it');
    case STATUS.denied:
      return gap('denied', name, message);
    case STATUS.unimplemented:
      return gap('unsupported', name, 'the runtime does not have this call');
    default:
      return gap('failed', name, message);
  }
}
