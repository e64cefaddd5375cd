// What `capture NODE` is about to do, before it does it.
import type { NodeCaptureSpec } from '../../protocol/index.ts';
import { counted, escapeText, formatAge, styled } from '../terminal/text.ts';
import type { NodeFacts } from './node-facts.ts';

export interface ClusterPlan {
  readonly name: string;
  readonly spec: NodeCaptureSpec;
  readonly facts: NodeFacts;
}

export function printPlan({ name, spec, facts }: ClusterPlan, stream: NodeJS.WriteStream): void {
  const line = (title: string, text: string): void =>
    void stream.write(`  ${styled('dim', title.padEnd(9), stream)} ${escapeText(text)}\n`);
  stream.write(`${styled('bold', `capture ${name} of node ${escapeText(spec.node)}`, stream)}\n`);
  line('node', nodeText(facts));
  if (facts.agent.kind !== 'troubled') line('agent', facts.agent.text);
  line('asked by', `${spec.requestedBy}: ${spec.reason}${spec.case === undefined ? '' : ` (case ${spec.case})`}`);
  line('collects', collectsText(spec));
  const { recipients } = spec.encryption;
  line(
    'evidence',
    recipients === undefined
      ? 'not encrypted: readable to whoever reads the store'
      : `encrypted to ${counted(recipients.length, 'recipient')}`,
  );
  line(
    'changes',
    `${spec.cordon ? `node ${spec.node} takes no new pods and is not scaled down` : `node ${spec.node} is held (not scaled down), not cordoned`}, until "release"; pods run on`,
  );
  line('ends', `when all is collected, after ${spec.deadlineSeconds} s at the latest; then it is sealed`);
  for (const warning of facts.warnings) stream.write(`${styled('yellow', `! ${escapeText(warning)}`, stream)}\n`);
}

function nodeText({ node, pods }: NodeFacts): string {
  const count = pods === undefined ? [] : [counted(pods, 'pod')];
  if (node === undefined) return ['you may not look at nodes; the controller may', ...count].join(', ');
  const age = formatAge((Date.now() - Date.parse(node.created)) / 1000);
  const state = node.ready ? 'ready' : 'NOT READY';
  return [state, `${age} old`, ...count, ...(node.unschedulable ? ['cordoned already'] : [])].join(', ');
}

function collectsText({ profile, collectors, suspects = [], freeze }: NodeCaptureSpec): string {
  const { only, skip } = collectors ?? {};
  const names = suspects.map(({ pod, container, pid }) =>
    pod !== undefined ? `pod ${pod.namespace}/${pod.name}` : container !== undefined ? container.id : `pid ${pid}`,
  );
  return [
    only === undefined ? `profile ${profile}` : `only ${only.join(', ')}`,
    ...(skip === undefined ? [] : [`without ${skip.join(', ')}`]),
    ...(names.length === 0 ? [] : [`first ${names.join(', ')}`]),
    ...(freeze ? ['suspects frozen while their memory is read'] : []),
  ].join('; ');
}
