// What the API server knows of a node and of what runs on it: the outside's word, beside the agent's.
import { type Artefact, type CollectContext, type Collector, type GapReport, gap } from '../../capture/index.ts';
import type { Kubernetes } from '../../kubernetes/index.ts';
import type { NodeCaptureSpec } from '../../protocol/index.ts';
import { type Answers, type Asking, answers } from './kubernetes/ask.ts';
import { eventRows } from './kubernetes/events.ts';
import { ownerRows, segment } from './kubernetes/owners.ts';
import { rightRows } from './kubernetes/rights.ts';
import { type Survey, survey } from './kubernetes/survey.ts';
import { table } from './kubernetes/table.ts';

export interface KubernetesContext extends CollectContext {
  readonly kubernetes: Kubernetes;
  /** The node's name. */
  readonly node: string;
  readonly suspects: NonNullable<NodeCaptureSpec['suspects']>;
}

const FOLDER = '95-kubernetes';
const SOURCE = 'Kubernetes API server';
/** Of admissionregistration.k8s.io/v1; what a version of Kubernetes has not is said as absent. */
const ADMISSION = [
  'validatingwebhookconfigurations',
  'mutatingwebhookconfigurations',
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
];

export const kubernetes: Collector<KubernetesContext> = Object.freeze({
  name: 'kubernetes',
  description:
    "The node, its pods, their owners, service accounts and rights, events, network policies, admission; Secrets' names only",
  phase: 'volatile',
  volatility: 20,
  artefacts: [
    `${FOLDER}/node.json`,
    `${FOLDER}/leases.json`,
    `${FOLDER}/pods.jsonl`,
    `${FOLDER}/node-captures.jsonl`,
    `${FOLDER}/admission.jsonl`,
    `${FOLDER}/owners.jsonl`,
    `${FOLDER}/events.jsonl`,
    `${FOLDER}/service-accounts.jsonl`,
    `${FOLDER}/role-bindings.jsonl`,
    `${FOLDER}/network-policies.jsonl`,
    `${FOLDER}/references.jsonl`,
  ],
  needs: [{ kind: 'socket', name: 'kube-apiserver', without: 'everything' }],
  limits: { bytes: 512 * 1024 * 1024, seconds: 60 },
  collect,
} satisfies Collector<KubernetesContext>);

async function* collect(context: KubernetesContext): AsyncGenerator<Artefact | GapReport> {
  const { node, suspects } = context;
  const asking: Asking = {
    kubernetes: context.kubernetes,
    signal: context.signal,
    gap: ({ kind: _, ...found }) => context.gap(found),
  };
  const found = survey();
  const rows = (name: string, rowsOf: (given: Answers) => AsyncGenerator<object>): AsyncGenerator<Artefact> =>
    table(asking, `${FOLDER}/${name}`, SOURCE, rowsOf);

  yield* one(asking, 'node.json', { what: `nodes ${node}`, path: `/api/v1/nodes/${segment(node)}` });
  const lease = `/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${segment(node)}`;
  yield* one(asking, 'leases.json', { what: `leases kube-node-lease/${node}`, path: lease });
  let known = false;
  for await (const artefact of rows('pods.jsonl', (given) => podRows(given, node, found))) {
    known = true;
    yield artefact;
  }
  const query = { fieldSelector: `spec.node=${node}` };
  const captures = { what: `nodecaptures of node ${node}`, path: '/apis/impound.dev/v1alpha1/nodecaptures', query };
  yield* rows('node-captures.jsonl', ({ objects }) => objects(captures));
  yield* rows('admission.jsonl', admissionRows);

  if (known) await found.ended;
  if (found.left > 0) yield gap('truncated', 'what pods refer to', `${found.left} pods or references were too many`);
  if (known) yield* missingSuspects(suspects, found, node);
  yield* rows('events.jsonl', (given) => eventRows(given, node, found));
  yield* rows('role-bindings.jsonl', (given) => rightRows(given, node, found.accounts.values()));
  if (!known) {
    const names = 'owners, service accounts, network policies, references';
    yield gap('skipped', names, 'without its pods it is not known which are of this node');
    return;
  }
  yield* rows('owners.jsonl', (given) => ownerRows(given, asking, found.owners.values()));
  yield* rows('service-accounts.jsonl', (given) => accountRows(given, found));
  yield* rows('network-policies.jsonl', (given) => policyRows(given, found));
  yield* rows('references.jsonl', async function* () {
    yield* found.references;
  });
}

async function* one(
  asking: Asking,
  name: string,
  source: { readonly what: string; readonly path: string },
): AsyncGenerator<Artefact> {
  const row = await answers(asking).object(source);
  if (row === undefined) return;
  const bytes = Buffer.from(`${JSON.stringify(row, null, 2)}\n`);
  const content = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes;
  };
  yield { kind: 'artefact', path: `${FOLDER}/${name}`, source: SOURCE, content: content() };
}

/** Environment values are evidence, and stay. */
async function* podRows({ objects }: Answers, node: string, found: Survey): AsyncGenerator<object> {
  const query = { fieldSelector: `spec.nodeName=${node}` };
  try {
    for await (const pod of objects({ what: `pods of node ${node}`, path: '/api/v1/pods', query })) {
      found.add(pod);
      yield pod;
    }
  } finally {
    found.end(); // also where the artefact was cut, or is not read any further
  }
}

async function* admissionRows({ objects }: Answers): AsyncGenerator<object> {
  for (const resource of ADMISSION)
    yield* objects({ what: resource, path: `/apis/admissionregistration.k8s.io/v1/${resource}` });
}

async function* accountRows({ object }: Answers, { accounts }: Survey): AsyncGenerator<object> {
  for (const { namespace, name } of accounts.values()) {
    const path = `/api/v1/namespaces/${segment(namespace)}/serviceaccounts/${segment(name)}`;
    const row = await object({ what: `serviceaccounts ${namespace}/${name}`, path });
    if (row !== undefined) yield row;
  }
}

async function* policyRows({ objects }: Answers, { namespaces }: Survey): AsyncGenerator<object> {
  for (const namespace of namespaces) {
    const path = `/apis/networking.k8s.io/v1/namespaces/${segment(namespace)}/networkpolicies`;
    yield* objects({ what: `networkpolicies of namespace ${namespace}`, path });
  }
}

function* missingSuspects(
  suspects: KubernetesContext['suspects'],
  { names }: Survey,
  node: string,
): Generator<GapReport> {
  for (const { pod } of suspects) {
    if (pod === undefined || names.has(`${pod.namespace}/${pod.name}`)) continue;
    yield gap('vanished', `pod ${pod.namespace}/${pod.name}`, `a suspect, and not among the pods of node ${node}`);
  }
}
