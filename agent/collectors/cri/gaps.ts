// Which gap a runtime's failure is: what the status of its gRPC answer means.
import { type GapReport, gap } from '../../../capture/index.ts';
import { callGap } from '../../runtime/call-gap.ts';
import { grpcStatus, STATUS } from '../../runtime/grpc-error.ts';

/** `name` is the thing that could not be had; `stopped` tells a stopped capture from a collector out of time. */
export function runtimeGap(error: unknown, name: string, stopped: AbortSignal): GapReport {
  return callGap(error, { name, stopped, whom: 'runtime' }, (answer) => {
    switch (grpcStatus(answer)) {
      case STATUS.notFound:
        return gap('vanished', name, 'it was gone when the runtime was asked about it');
      case STATUS.denied:
        return gap('denied', name, answer.message);
      case STATUS.unimplemented:
        return gap('unsupported', name, 'the runtime does not have this call');
      default:
        return gap('failed', name, answer.message);
    }
  });
}
