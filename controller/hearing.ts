// Why a node's agent is not heard, as far as that is known here: an agent that is kept out cannot say so itself.
import type { Logger } from '../evidence/index.ts';
import type { Distrust } from './trust.ts';

/** A condition's reason, and what a person must do. */
export interface Deaf {
  readonly reason: string;
  readonly message: string;
}

/** Why a token was not taken; who it says that it is of, which nobody vouches for. */
export interface RefusedToken {
  readonly reason: string;
  readonly node: string | undefined;
  readonly pod: string | undefined;
}

export interface HearingOptions {
  readonly namespace: string;
  readonly distrust: () => Distrust | undefined;
  /** What the API server refused lately of this resource. */
  readonly denied: (resource: string) => string | undefined;
  /** Whether a capture waits for this node's agent: nothing is remembered of others. */
  readonly isWanted: (node: string) => boolean;
  readonly log: Logger;
}

export interface Hearing {
  /** Undefined where nothing is known to be in an agent's way. */
  deaf(node: string): Deaf | undefined;
  refused(token: RefusedToken): void;
  /** An agent speaks no version of the protocol that is spoken here. */
  unspoken(node: string, versions: readonly string[]): void;
}

const REASONS = {
  'certificate-expired': 'CertificateExpired',
  'certificate-not-yet-valid': 'CertificateNotYetValid',
  'certificate-untrusted': 'CertificateUntrusted',
} as const;

/** Tokens that say nothing of an agent's own: the API server's silence, a flood, what was no token. */
const NO_WORD: ReadonlySet<string> = new Set(['missing', 'malformed', 'busy', 'api-silent']);
/** Of an agent that may be the node's own; one whose pod or node is gone is not waited for. */
const MAY_BE_ITS_OWN: ReadonlySet<string> = new Set(['unauthenticated', 'expired', 'audience']);
/** An agent that is refused asks again after ten seconds at most. */
const LATELY_MILLISECONDS = 20_000;
/** As long as an agent asks that is refused, evidence waits for it: not longer than it does itself. Anybody can be refused. */
const PATIENCE_MILLISECONDS = 600_000;
const SAY_AGAIN_MILLISECONDS = 60_000;

interface KeptOut {
  readonly deaf: Deaf;
  readonly since: number;
  last: number;
}

export function hearing({ namespace, distrust, denied, isWanted, log }: HearingOptions): Hearing {
  const keptOut = new Map<string, KeptOut>();
  /** By reason: when it was said in the log, and how often it was not since. */
  const said = new Map<string, { at: number; more: number }>();

  const keep = (node: string, deaf: Deaf): void => {
    const now = performance.now();
    for (const [other, { last }] of keptOut) if (now - last > PATIENCE_MILLISECONDS) keptOut.delete(other);
    const before = keptOut.get(node);
    const goesOn = before !== undefined && now - before.last <= PATIENCE_MILLISECONDS;
    keptOut.set(node, { deaf, since: goesOn ? before.since : now, last: now });
  };
  const say = (key: string, message: string, fields: object): void => {
    const now = performance.now();
    const before = said.get(key);
    if (before !== undefined && now - before.at < SAY_AGAIN_MILLISECONDS) {
      before.more++;
      return;
    }
    said.set(key, { at: now, more: 0 });
    log.warn(message, { ...fields, more: before?.more ?? 0 });
  };

  return {
    deaf(node) {
      const trouble = distrust();
      if (trouble !== undefined) return { reason: REASONS[trouble.code], message: trouble.message };
      const review = denied('tokenreviews');
      if (review !== undefined) {
        const message = `no agent's token can be asked about: ${review}; apply manifests/base/rbac.yaml`;
        return { reason: 'TokenReviewDenied', message };
      }
      const now = performance.now();
      const out = keptOut.get(node);
      if (out === undefined || now - out.last > LATELY_MILLISECONDS) return undefined;
      return now - out.since <= PATIENCE_MILLISECONDS ? out.deaf : undefined;
    },
    refused({ reason, node, pod }) {
      if (NO_WORD.has(reason)) return;
      const claims = { reason, node: short(node), pod: short(pod) };
      say(reason, 'a token was not taken', { code: 'token-refused', ...claims });
      if (node === undefined || !MAY_BE_ITS_OWN.has(reason) || !isWanted(node)) return;
      const replace = `kubectl -n ${namespace} delete pods -l app.kubernetes.io/name=impound-agent --field-selector spec.nodeName=${node}`;
      const message = `a token that says it is of the agent on ${node} is refused (${reason}): where its service account was deleted or made anew, replace its pod: ${replace}`;
      keep(node, { reason: 'AgentRefused', message });
    },
    unspoken(node, versions) {
      const fields = { code: 'protocol-unknown', node, versions: versions.map(short) };
      say(`versions ${node}`, 'an agent speaks no version of the protocol that is spoken here', fields);
      if (!isWanted(node)) return;
      const message = `the agent on ${node} speaks another version of the agent protocol than this controller: roll out the DaemonSet impound-agent and the Deployment impound-controller with images of one version`;
      keep(node, { reason: 'AgentVersion', message });
    },
  };
}

function short(text: string | undefined): string | undefined {
  return text?.slice(0, 100);
}
