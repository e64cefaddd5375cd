// Which gap an engine's failure is, in the same words for the same cause.
import { type GapReport, gap } from '../../../capture/index.ts';
import { describeError, errnoOf, ImpoundError } from '../../../evidence/index.ts';
import { engineStatus } from '../../runtime/docker.ts';

/** `name` is the thing that could not be had; `stopped` tells a stopped capture from a collector out of time. */
export function engineGap(error: unknown, name: string, stopped: AbortSignal): GapReport {
  const message = describeError(error);
  if (!(error instanceof ImpoundError)) return gap('failed', name, message);
  if (error.code === 'deadline') return gap('timeout', name, message);
  if (error.code === 'content-too-large') return gap('truncated', name, message);
  if (error.code === 'aborted') {
    if (stopped.aborted) return gap('aborted', name, 'the capture was stopped before the engine had answered');
    return gap('timeout', name, "the collector's time was used up before the engine had answered");
  }
  const errno = errnoOf(error.cause);
  if (errno === 'EACCES' || errno === 'EPERM') return gap('denied', name, message);
  return statusGap(error, name);
}

function statusGap(error: ImpoundError, name: string): GapReport {
  const answered = engineStatus(error);
  switch (answered?.status) {
    case 404:
      return gap('vanished', name, 'it was gone when the engine was asked about it');
    case 409:
      return gap('vanished', name, 'it did not run any more when the engine was asked about it');
    case 401:
    case 403:
      return gap('denied', name, `${error.message}; an authorisation plugin of the engine may forbid it`);
    case 501:
      return gap('unsupported', name, error.message);
    default:
      if (answered?.message.includes('does not support reading')) return gap('unsupported', name, error.message);
      return gap('failed', name, error.message);
  }
}
