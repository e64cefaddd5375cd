// Why the controller could not be asked, or would not answer: as an error with a stable code, and with what a person must do.
import { certificateCode, describeError, type ErrorCode, errnoOf, ImpoundError } from '../../evidence/index.ts';
import { PROTOCOL_VERSIONS } from '../../protocol/index.ts';

/** What the controller said instead of an answer. */
export class Refused extends Error {
  readonly status: number;
  /** Of the problem: "unauthenticated", "protocol-unknown". */
  readonly problem: string | undefined;
  readonly leader: string | undefined;

  constructor(status: number, message: string, { problem, leader }: Pick<Refused, 'problem' | 'leader'>) {
    super(message);
    this.status = status;
    this.problem = problem;
    this.leader = leader;
  }
}

const BY_ITSELF = 'the controller reads it again by itself, and this agent goes on';
const CERTIFICATE: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: `has expired, by this node's clock: put a valid one into the Secret impound-controller-tls; ${BY_ITSELF}`,
  CERT_NOT_YET_VALID: `is not valid yet, by this node's clock: set the clock right, or put a valid one into the Secret impound-controller-tls; ${BY_ITSELF}`,
  ERR_TLS_CERT_ALTNAME_INVALID: `is not for the name that this agent calls it by: put one that is into the Secret impound-controller-tls; ${BY_ITSELF}`,
};
const OTHER_AUTHORITY =
  'is of none of the authorities that this agent is given: put its authority into the ConfigMap impound-ca, beside those in use; the agent reads it again by itself, within two minutes';
const NO_TOKEN =
  "the controller does not take this agent's token: where the service account was deleted or made anew, replace this pod";

/** A token may be between two of its lives, a replica between two leaders or two versions. */
export function isHopeful(error: unknown): boolean {
  if (!(error instanceof Refused)) return !(error instanceof ImpoundError);
  const { status, problem } = error;
  return status === 401 || status === 421 || status === 429 || status >= 500 || problem === 'protocol-unknown';
}

/** Whether more than some seconds' patience would change anything: only a person does. */
export function needsAPerson(error: unknown): boolean {
  return certificateCode(error) !== undefined || (error instanceof Refused && error.status === 401);
}

export function failure(error: unknown): unknown {
  if (error instanceof ImpoundError) return error;
  if (error instanceof Refused) return refusal(error);
  if (error instanceof Error && error.name === 'AbortError') return linkError('aborted', 'given up', error);
  const code = certificateCode(error);
  if (code !== undefined) {
    const message = `the controller's certificate ${CERTIFICATE[code] ?? OTHER_AUTHORITY} (${code})`;
    return linkError('controller-untrusted', message, error);
  }
  const reason = errnoOf(error) ?? describeError(error);
  return linkError('controller-unreachable', `no answer from the controller: ${reason}`, error);
}

function refusal(error: Refused): ImpoundError {
  const { status, message, problem } = error;
  if (problem === 'protocol-unknown') {
    const own = PROTOCOL_VERSIONS.join(', ');
    const remedy = `this agent speaks ${own}: roll out the DaemonSet and the Deployment with images of one version`;
    return linkError('controller-refused', `${message}; ${remedy}`, error);
  }
  if (status === 404 || status === 409) return linkError('capture-over', message, error);
  if (status === 401) return linkError('controller-denied', `${NO_TOKEN} (${message})`, error);
  if (status === 403)
    return linkError('controller-denied', `the controller does not take this agent's token: ${message}`, error);
  return linkError('controller-refused', `the controller refused: ${message}`, error);
}

export function linkError(code: ErrorCode, message: string, cause?: unknown): ImpoundError {
  return new ImpoundError(code, message, { operation: 'ask the controller', cause });
}
