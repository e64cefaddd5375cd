// Whether this replica lives and is of use, and its figures.

import { Problem } from './http/problem.ts';
import type { Route } from './http/route.ts';
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
        const text = Buffer.from(await metrics.text());
        const headers = { 'content-type': metrics.contentType, 'content-length': String(text.length) };
        return { headers, stream: once(text) };
      },
    },
  ];
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
