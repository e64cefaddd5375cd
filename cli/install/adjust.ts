// The manifests made those of one cluster: images, names, ports, and what a change of which restarts the replicas.
import { createHash } from 'node:crypto';
import { type Document, isMap, isSeq, type YAMLSeq } from 'yaml';
import { ImpoundError } from '../../evidence/index.ts';
import { find } from './manifests.ts';
import type { Settings } from './settings.ts';

const TEMPLATE = ['spec', 'template'] as const;
const CONTAINER = [...TEMPLATE, 'spec', 'containers', 0] as const;
const CONTROLLER = 'impound-controller';
const AGENT = 'impound-agent';
/** Of EKS Pod Identity on each node (EKS user guide, "Set up the Amazon EKS Pod Identity Agent"). */
const POD_IDENTITY = ['169.254.170.23/32', 'fd00:ec2::23/128'];

export interface Configured {
  readonly settings: Settings;
  /** controller.yaml */
  readonly configuration: string;
  /** Fingerprint of the signing key, where it is known here. */
  readonly keyid: string | undefined;
}

export function adjust(documents: readonly Document[], { settings, configuration, keyid }: Configured): void {
  const deployment = find(documents, 'Deployment', CONTROLLER);
  const daemonSet = find(documents, 'DaemonSet', AGENT);
  deployment.setIn([...CONTAINER, 'image'], settings.images.controller);
  daemonSet.setIn([...CONTAINER, 'image'], settings.images.agent);
  for (const word of settings.agentArguments) list(daemonSet, [...CONTAINER, 'args']).add(daemonSet.createNode(word));
  if (settings.storeSecret !== undefined)
    deployment.setIn([...CONTAINER, 'envFrom'], deployment.createNode([{ secretRef: { name: settings.storeSecret } }]));
  // both are read at start only
  const digest = createHash('sha256').update(configuration).digest('hex');
  const annotate = (name: string, value: string): void =>
    setAnnotation(deployment, [...TEMPLATE, 'metadata'], `impound.dev/${name}`, value);
  annotate('configuration', digest);
  if (keyid !== undefined) annotate('signing-key', keyid);
  const account = find(documents, 'ServiceAccount', CONTROLLER);
  for (const [name, value] of Object.entries(settings.annotations)) setAnnotation(account, ['metadata'], name, value);
  openPorts(find(documents, 'NetworkPolicy', CONTROLLER), settings);
  sizeVolume(documents, settings);
}

function openPorts(policy: Document, { egressPorts, podIdentity }: Settings): void {
  const rules = list(policy, ['spec', 'egress']);
  const ports = rules.items
    .map((rule) => (isMap(rule) ? rule.get('ports') : undefined))
    .find((one) => isSeq(one) && one.items.some((item) => isMap(item) && item.get('port') === 443));
  if (!isSeq(ports)) throw unfit('the NetworkPolicy impound-controller lets nothing out to port 443');
  for (const port of egressPorts) ports.add(policy.createNode({ port }, { flow: true }));
  if (!podIdentity) return;
  const to = POD_IDENTITY.map((cidr) => ({ ipBlock: { cidr } }));
  const rule = policy.createNode({ to, ports: [{ port: 80 }] });
  rule.commentBefore = ' The agent of EKS Pod Identity on the node, for the credentials of the role.';
  rules.add(rule);
}

function sizeVolume(documents: readonly Document[], { isDirectory, volume }: Settings): void {
  if (!isDirectory) return;
  const claim = find(documents, 'PersistentVolumeClaim', 'impound-evidence');
  if (volume.className !== undefined) claim.setIn(['spec', 'storageClassName'], volume.className);
  if (volume.size !== undefined) claim.setIn(['spec', 'resources', 'requests', 'storage'], volume.size);
}

function setAnnotation(document: Document, metadata: readonly (string | number)[], name: string, value: string): void {
  const path = [...metadata, 'annotations'];
  if (!document.hasIn(path)) document.setIn(path, document.createNode({}));
  document.setIn([...path, name], value);
}

function list(document: Document, path: readonly (string | number)[]): YAMLSeq {
  const found = document.getIn(path);
  if (!isSeq(found)) throw unfit(`${path.join('.')} is no list`);
  return found;
}

function unfit(message: string): ImpoundError {
  return new ImpoundError('internal', `the manifests that belong to this program: ${message}`, {
    operation: 'read manifests',
  });
}
