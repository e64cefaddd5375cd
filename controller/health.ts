// Whether this replica lives and is of use, and its figures.

import { Problem } from './http/problem.ts';
import { type Route, wholeReply } from './http/route.ts';
import type { Metrics } from './metrics.ts';

export interface Health {
  /** Why it is of no use now; undefined where it is. */
  readonly unready: () => string | undefined;
  readonly metrics: Metrics;
}

export function healthRoutes({ unready, metrics }: Health): readonly Route[] {
  return [
    { method: 'GET', path: '/healthz', name: 'health', handle: async () => ({ json: { status: 'ok' } }) },
    {
      method: 'GET',
      path: '/readyz',
      name: 'ready',
      async handle() {
        const why = unready();
        if (why !== undefined) throw new Problem(503, 'unavailable', why);
        return { json: { status: 'ok' } };
      },
    },
    {
      method: 'GET',
      path: '/metrics',
      name: 'metrics',
      async handle() {
        return wholeReply(await metrics.text(), { 'content-type': metrics.contentType });
      },
    },
  ];
}
