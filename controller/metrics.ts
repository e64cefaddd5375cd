// What a monitor sees, in Prometheus' words: https://prometheus.io/docs/practices/naming/
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Certificates } from './http/certificate.ts';

export interface Metrics {
  readonly text: () => Promise<string>;
  readonly contentType: string;
  readonly leads: (leads: boolean) => void;
  /** Captures by phase, all of them. */
  readonly captures: (byPhase: ReadonlyMap<string, number>) => void;
  readonly request: (route: string, status: number, seconds: number) => void;
  /** A token that was not taken, by reason. */
  readonly refusedToken: (reason: string) => void;
  /** What an agent was refused, by code. */
  readonly refusedAgent: (code: string) => void;
  readonly reconciled: (phase: string, outcome: 'done' | 'failed', seconds: number) => void;
  readonly certificates: (certificates: Certificates) => void;
  /** Whether agents can take what is served, as far as that is known. */
  readonly trusted: (trusted: boolean) => void;
  /** What the API server refused to this program. */
  readonly denied: (verb: string, resource: string) => void;
}

export function metrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'impound_' });
  const registers = [registry];
  const leader = new Gauge({ name: 'impound_leader', help: 'Whether this replica leads.', registers });
  const captures = new Gauge({
    name: 'impound_captures',
    help: 'NodeCaptures by phase.',
    labelNames: ['phase'],
    registers,
  });
  const requests = new Histogram({
    name: 'impound_http_request_seconds',
    help: 'Answers by route and status; long polls among them.',
    labelNames: ['route', 'status'],
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 30],
    registers,
  });
  const tokens = new Counter({
    name: 'impound_tokens_refused_total',
    help: 'Bearer tokens that were not taken, by reason.',
    labelNames: ['reason'],
    registers,
  });
  const agents = new Counter({
    name: 'impound_agent_calls_refused_total',
    help: 'What agents asked for and were refused, by code: an honest agent has none.',
    labelNames: ['code'],
    registers,
  });
  const reconciles = new Histogram({
    name: 'impound_reconcile_seconds',
    help: 'Runs over a capture, by phase and outcome.',
    labelNames: ['phase', 'outcome'],
    buckets: [0.01, 0.05, 0.2, 1, 5, 30],
    registers,
  });
  const expiry = new Gauge({
    name: 'impound_certificate_expiry_timestamp_seconds',
    help: 'When the TLS certificate expires, in seconds since 1970: that which is served, and that of the Secret where it is refused.',
    labelNames: ['certificate'],
    registers,
  });
  const trusted = new Gauge({
    name: 'impound_certificate_trusted',
    help: 'Whether agents can take the TLS certificate that is served.',
    registers,
  });
  const denials = new Counter({
    name: 'impound_api_denied_total',
    help: 'What the API server refused to the controller, by verb and resource: none where the manifests are applied.',
    labelNames: ['verb', 'resource'],
    registers,
  });
  return {
    text: () => registry.metrics(),
    contentType: registry.contentType,
    leads: (leads) => leader.set(leads ? 1 : 0),
    captures(byPhase) {
      captures.reset();
      for (const [phase, count] of byPhase) captures.set({ phase }, count);
    },
    request: (route, status, seconds) => requests.observe({ route, status }, seconds),
    refusedToken: (reason) => tokens.inc({ reason }),
    refusedAgent: (code) => agents.inc({ code }),
    reconciled: (phase, outcome, seconds) => reconciles.observe({ phase, outcome }, seconds),
    certificates({ served, refused }) {
      expiry.set({ certificate: 'served' }, served.until.getTime() / 1000);
      if (refused === undefined) expiry.remove({ certificate: 'refused' });
      else expiry.set({ certificate: 'refused' }, refused.until.getTime() / 1000);
    },
    trusted: (is) => trusted.set(is ? 1 : 0),
    denied: (verb, resource) => denials.inc({ verb, resource }),
  };
}
