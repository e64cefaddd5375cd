// The cluster itself: does its API server know NodeCaptures as this version does, and do the admission policies stand guard.
import { type KubernetesObject, unlessMissing } from '../../../kubernetes/index.ts';
import { type FieldSchema, fieldsOf, nodeCaptureFields } from '../../../protocol/index.ts';
import type { Connection } from '../connect.ts';
import { lacking } from '../rights.ts';
import { POLICIES, POLICY_RIGHTS } from '../roles.ts';
import { type Finding, failedToAsk, ok, trouble, unseen } from './finding.ts';

const API = 'apis/impound.dev/v1alpha1';
const SCHEMA = 'dev.impound.v1alpha1.NodeCapture';
const POLICY_API = '/apis/admissionregistration.k8s.io/v1';
/** ValidatingAdmissionPolicy is stable from it on. */
const OLDEST = 30;
const MANIFESTS = 'apply the manifests of this version again (docs/install.md)';
const SHOWN_FIELDS = 5;

export async function apiFindings(connection: Connection): Promise<readonly Finding[]> {
  const asked = [
    ['API server', serverFinding(connection)],
    ['NodeCapture', schemaFinding(connection)],
    ['policies', policyFinding(connection)],
  ] as const;
  return Promise.all(asked.map(([name, finding]) => finding.catch((error: unknown) => failedToAsk(name, error))));
}

async function serverFinding({ kubernetes, user }: Connection): Promise<Finding> {
  interface Version {
    readonly gitVersion?: string;
    readonly major?: string;
    readonly minor?: string;
  }
  const { gitVersion = '', major = '', minor = '' } = await kubernetes.get<Version>('/version');
  const seen = `${kubernetes.server} has Kubernetes ${gitVersion.replace(/^v/, '')}; you are ${user}`;
  const isOld = Number.parseInt(major, 10) <= 1 && Number.parseInt(minor, 10) < OLDEST;
  if (isOld) return trouble('API server', seen, `Impound needs 1.${OLDEST} or newer, for its admission policies`);
  return ok('API server', seen);
}

async function schemaFinding({ kubernetes }: Connection): Promise<Finding> {
  const name = 'NodeCapture';
  interface Resources {
    readonly resources?: readonly { readonly name: string }[];
  }
  const served = await unlessMissing(kubernetes.get<Resources>(`/${API}`));
  const names = new Set(served?.resources?.map((one) => one.name));
  if (!names.has('nodecaptures') || !names.has('nodecaptures/status'))
    return trouble(name, `the API server knows no ${API.slice(5)}`, 'install Impound there: docs/install.md');
  interface OpenApi {
    readonly components?: { readonly schemas?: Readonly<Record<string, FieldSchema>> };
  }
  const schema = (await unlessMissing(kubernetes.get<OpenApi>(`/openapi/v3/${API}`)))?.components?.schemas?.[SCHEMA];
  if (schema === undefined) return ok(name, `${API.slice(5)} is served`);
  const known = new Set(fieldsOf(schema));
  const missing = nodeCaptureFields().filter((field) => !known.has(field));
  if (missing.length === 0) return ok(name, `${API.slice(5)} is served, with every field of this version`);
  const shown = missing.slice(0, SHOWN_FIELDS).join(', ');
  const more = missing.length > SHOWN_FIELDS ? ` and ${missing.length - SHOWN_FIELDS} more` : '';
  return trouble(name, `it is served as another version has it: without ${shown}${more}`, MANIFESTS);
}

interface Policy extends KubernetesObject {
  readonly spec?: { readonly failurePolicy?: string };
}

interface Binding extends KubernetesObject {
  readonly spec?: { readonly policyName?: string; readonly validationActions?: readonly string[] };
}

async function policyFinding(connection: Connection): Promise<Finding> {
  const missing = await lacking(connection, POLICY_RIGHTS);
  const { kubernetes, namespace } = connection;
  if (missing.length > 0) return unseen('policies', missing.slice(0, 1), namespace);
  const wrong = await Promise.all(
    POLICIES.map(async (name): Promise<string | undefined> => {
      const [policy, binding] = await Promise.all([
        unlessMissing(kubernetes.get<Policy>(`${POLICY_API}/validatingadmissionpolicies/${name}`)),
        unlessMissing(kubernetes.get<Binding>(`${POLICY_API}/validatingadmissionpolicybindings/${name}`)),
      ]);
      if (policy === undefined) return `${name} is gone`;
      if (binding === undefined) return `${name} is bound no more`;
      const denies = binding.spec?.policyName === name && binding.spec.validationActions?.includes('Deny') === true;
      return denies && policy.spec?.failurePolicy === 'Fail' ? undefined : `${name} does not refuse any more`;
    }),
  );
  const said = wrong.filter((one) => one !== undefined);
  if (said.length === 0) return ok('policies', `${POLICIES.length} admission policies are there, and bound`);
  const why = 'without them people can ask in the name of others, contain, release, or reach into nodes';
  return trouble(
    'policies',
    `${said.join('; ')}: ${why}`,
    'kubectl apply --server-side -f manifests/base/policies.yaml',
  );
}
