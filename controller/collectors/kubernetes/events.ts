// Events that concern the node or its pods, also those of pods that are gone: the node's kubelet signs what it reports.
import type { Answers, Row } from './ask.ts';
import type { Survey } from './survey.ts';

interface Event extends Row {
  readonly involvedObject?: {
    readonly kind?: string;
    readonly namespace?: string;
    readonly name?: string;
    readonly uid?: string;
  };
  readonly source?: { readonly host?: string };
  readonly reportingInstance?: string;
}

export async function* eventRows({ objects }: Answers, node: string, found: Survey): AsyncGenerator<object> {
  for await (const row of objects({ what: 'events', path: '/api/v1/events' })) {
    if (concerns(row, node, found)) yield row;
  }
}

function concerns(event: Event, node: string, { pods, names, owners }: Survey): boolean {
  const { kind, namespace, name, uid = '' } = event.involvedObject ?? {};
  if (kind === 'Node' && name === node) return true;
  if (pods.has(uid) || owners.has(uid)) return true;
  if (kind === 'Pod' && names.has(`${namespace}/${name}`)) return true;
  return event.source?.host === node || event.reportingInstance === node;
}
