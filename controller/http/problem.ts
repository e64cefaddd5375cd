// What went wrong, as an HTTP client is told: RFC 9457 problem details with a code of ours.
import { ImpoundError } from '../../evidence/index.ts';

/** Codes are part of the interface, as those of ImpoundError are. */
export type ProblemCode =
  | 'request-invalid'
  | 'too-large'
  | 'not-found'
  | 'method-not-allowed'
  | 'unauthenticated'
  | 'forbidden'
  | 'access-unrecorded'
  | 'conflict'
  | 'range-invalid'
  | 'not-leader'
  | 'protocol-unknown'
  | 'too-many'
  | 'unavailable'
  | 'internal';

/** Thrown by whoever answers a call; anything else that is thrown becomes "internal", and is logged. */
export class Problem extends ImpoundError {
  readonly status: number;
  readonly problem: ProblemCode;
  /** More members of the answer, "leader" above all. */
  readonly more: Readonly<Record<string, unknown>>;

  constructor(status: number, problem: ProblemCode, detail: string, more: Readonly<Record<string, unknown>> = {}) {
    super('internal', detail, { operation: 'answer' });
    this.status = status;
    this.problem = problem;
    this.more = more;
  }
}
