// Which gap an engine's failure is: what the status of its HTTP answer means.
import { type GapReport, gap } from '../../../capture/index.ts';
import type { ImpoundError } from '../../../evidence/index.ts';
import { callGap } from '../../runtime/call-gap.ts';
import { engineStatus } from '../../runtime/docker.ts';

/** `name` is the thing that could not be had; `stopped` tells a stopped capture from a collector out of time. */
export function engineGap(error: unknown, name: string, stopped: AbortSignal): GapReport {
  return callGap(error, { name, stopped, whom: 'engine' }, (answer) => statusGap(answer, name));
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
