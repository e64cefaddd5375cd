// Which gap a failed call to an engine or a runtime is, in the same words for the same cause.
import { type GapReport, gap } from '../../capture/index.ts';
import { describeError, errnoOf, ImpoundError } from '../../evidence/index.ts';

export interface FailedCall {
  /** The thing that could not be had. */
  readonly name: string;
  /** Tells a stopped capture from a collector out of time. */
  readonly stopped: AbortSignal;
  readonly whom: 'engine' | 'runtime';
}

/** `answered` tells what the server's own status means. */
export function callGap(error: unknown, call: FailedCall, answered: (error: ImpoundError) => GapReport): GapReport {
  const { name, stopped, whom } = call;
  const message = describeError(error);
  if (!(error instanceof ImpoundError)) return gap('failed', name, message);
  if (error.code === 'deadline') return gap('timeout', name, message);
  if (error.code === 'content-too-large') return gap('truncated', name, message);
  if (error.code === 'aborted') {
    if (stopped.aborted) return gap('aborted', name, `the capture was stopped before the ${whom} had answered`);
    return gap('timeout', name, `the collector's time was used up before the ${whom} had answered`);
  }
  const errno = errnoOf(error.cause);
  if (errno === 'EACCES' || errno === 'EPERM') return gap('denied', name, message);
  return answered(error);
}
