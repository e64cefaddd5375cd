// The API server's own log of a whole capture, as it is installed: each right of the controller is used, none is missing, and
// the agent asks for nothing.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { capabilityNames } from '../../agent/collectors/processes/capabilities.ts';
import { fileBed } from '../helpers/file-bed.ts';
import { askHttps } from '../helpers/https.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { type Manifest, readManifests } from '../protocol/rights.ts';
import { type AuditEvent, readAudit } from '../testbed/cluster/audit.ts';
import { INSTALLED_COMPONENTS, type Installed } from '../testbed/installed.ts';
import { BASE } from '../testbed/manifests.ts';
import {
  authority,
  capture,
  connections,
  processes,
  reachLeader,
  startAuditBed,
  storeAddress,
  untilGone,
  untilPhase,
} from './audit-bed.ts';
import { agentCapabilities } from './capabilities-bed.ts';

const ACCOUNTS = 'system:serviceaccount:impound-system:';
const CONTROLLER = `${ACCOUNTS}impound-controller`;
const AUDIENCE = 'impound-controller';
/** What an admission policy asks the authorizer for, which no log has: rbac.test.ts shows that they refuse without it. */
const ASKED_BY_POLICIES = ['ClusterRole impound-controller: update impound.dev/nodecaptures/finalizers'];

const scenario = await fileBed(INSTALLED_COMPONENTS, startAuditBed);
const home = await fileTemporaryFolder();

/** Each single right: "ClusterRole impound-controller: list core/pods". */
async function rightsOfController(): Promise<readonly string[]> {
  const manifests = await readManifests(join(BASE, 'rbac.yaml'));
  const bound = manifests.flatMap(({ roleRef, subjects = [], metadata: { namespace } }) =>
    roleRef !== undefined &&
    subjects.some(({ kind, name }) => kind === 'ServiceAccount' && name === 'impound-controller')
      ? [{ ...roleRef, namespace }]
      : [],
  );
  const isBound = ({ kind, metadata: { name, namespace } }: Manifest): boolean =>
    bound.some((ref) => ref.kind === kind && ref.name === name && ref.namespace === namespace);
  return manifests
    .filter(isBound)
    .flatMap(({ kind, metadata: { name }, rules = [] }) =>
      rules.flatMap(({ apiGroups, resources, verbs }) =>
        apiGroups.flatMap((group) =>
          resources.flatMap((resource) =>
            verbs.map((verb) => `${kind} ${name}: ${verb} ${group === '' ? 'core' : group}/${resource}`),
          ),
        ),
      ),
    );
}

/** By which right of which role it was allowed; undefined where by none of Impound's. */
function rightOf({ verb, objectRef, annotations }: AuditEvent): string | undefined {
  const reason = annotations?.['authorization.k8s.io/reason'] ?? '';
  const [, kind, name] = /of (ClusterRole|Role) "(impound-[a-z-]+)" to ServiceAccount/.exec(reason) ?? [];
  if (kind === undefined || objectRef === undefined) return undefined;
  const { apiGroup = 'core', resource = '', subresource } = objectRef;
  return `${kind} ${name}: ${verb} ${apiGroup}/${resource}${subresource === undefined ? '' : `/${subresource}`}`;
}

/** Those that were answered; of a watch its beginning. */
async function answered({ cluster }: Installed, user: string): Promise<readonly AuditEvent[]> {
  const all = await readAudit(cluster);
  assert.ok(all.length > 1000, 'the log is of the whole cluster');
  return all.filter((event) => event.user.username.startsWith(user) && event.stage !== 'RequestReceived');
}

const lineOf = ({ user, verb, requestURI, responseStatus, annotations }: AuditEvent): string =>
  [user.username, verb, requestURI, responseStatus?.code, annotations?.['authorization.k8s.io/reason']].join(' ');

scenario('a node is captured, held, read by an analyst, released; and again, to be deleted', async (installed) => {
  const { cluster } = installed;
  await capture(installed, 'first');
  const { metadata } = await untilPhase(installed, 'first', 'Sealed');
  const leader = await reachLeader(installed);
  const asked = { ca: await authority(installed, home), serverName: 'impound-controller.impound-system.svc' };

  await cluster.apply(
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'anna' } },
    {
      ...{ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRoleBinding', metadata: { name: 'anna' } },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'impound-analyst' },
      subjects: [{ kind: 'ServiceAccount', name: 'anna', namespace: 'default' }],
    },
  );
  const anna = { ...asked, token: await cluster.token('anna') };
  const recorded = await askHttps(`${leader}/v1/captures/first/access`, { ...anna, json: { purpose: 'a test' } });
  assert.equal(recorded.status, 201, recorded.bytes.toString());

  // an agent whose pod is gone since its token was looked at: its token is believed no longer
  const options = { namespace: installed.namespace, serviceAccountName: 'impound-agent' };
  await cluster.pod('ghost', 'exec sleep 1000000', options);
  const token = await cluster.token('impound-system/impound-agent', { audience: AUDIENCE, pod: 'ghost' });
  const calls = `${leader}/agent/v1/captures/${metadata.uid}/calls`;
  const call = async (): Promise<string> => {
    const { status, bytes } = await askHttps(calls, { ...asked, token, json: { session: 1, calls: [] } });
    return `${status} ${(JSON.parse(bytes.toString()) as { readonly code?: string }).code}`;
  };
  assert.equal(await call(), '404 not-found');
  await cluster.kubectl('-n', installed.namespace, 'delete', 'pod', 'ghost', '--force', '--timeout=30s');
  // whom it has looked at, it believes for three seconds
  await sleep(3500);
  assert.match(await call(), /^40[13] /);

  await cluster.kubectl('patch', 'ncap', 'first', '--type=merge', '-p', '{"spec":{"release":true}}');
  await untilPhase(installed, 'first', 'Released');
  await capture(installed, 'second');
  await untilPhase(installed, 'second', 'Sealed');
  await untilGone(installed, 'second');
  await untilGone(installed, 'first');
});

scenario('each right of the controller’s roles was used, and no other', async (installed, t) => {
  const events = await answered(installed, CONTROLLER);
  const counts = new Map<string, number>();
  for (const event of events) {
    const right = rightOf(event);
    assert.ok(right !== undefined, lineOf(event));
    counts.set(right, (counts.get(right) ?? 0) + 1);
  }
  const rights = await rightsOfController();
  for (const right of rights) t.diagnostic(`${right}: ${counts.get(right) ?? 'asked for by a policy'}`);
  assert.deepEqual(
    rights.filter((right) => !counts.has(right)),
    ASKED_BY_POLICIES,
  );
  assert.deepEqual(
    [...counts.keys()].filter((right) => !rights.includes(right)),
    [],
  );
});

scenario('no request of Impound’s accounts was refused', async (installed) => {
  const refused = (await answered(installed, ACCOUNTS)).filter(
    ({ responseStatus, annotations }) =>
      annotations?.['authorization.k8s.io/decision'] !== 'allow' || [401, 403].includes(responseStatus?.code ?? 0),
  );
  assert.deepEqual(refused.map(lineOf), []);
});

scenario('the agents asked the API server for nothing', async (installed) => {
  const accounts = new Set((await answered(installed, ACCOUNTS)).map(({ user }) => user.username));
  assert.deepEqual([...accounts], [CONTROLLER]);
});

scenario('their processes have what the manifests say, and can gain nothing', async (installed) => {
  const capabilities = {
    'impound-agent': (await agentCapabilities()).map((name) => `CAP_${name}`).sort(),
    'impound-controller': [],
  };
  const users = { 'impound-agent': '0', 'impound-controller': '65532' };
  const all = await processes(installed);
  assert.equal(all.length, 5);
  for (const { name, node, pid } of all) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    const field = (key: string): string => new RegExp(`^${key}:\\s+(\\S+)`, 'm').exec(status)?.[1] ?? '';
    for (const set of ['CapEff', 'CapBnd'])
      assert.deepEqual(
        capabilityNames(field(set))?.toSorted(),
        Reflect.get(capabilities, name),
        `${name} ${node} ${set}`,
      );
    assert.deepEqual([field('Uid'), field('NoNewPrivs'), field('Seccomp')], [Reflect.get(users, name), '1', '2'], name);
    const root = (await readFile(`/proc/${pid}/mountinfo`, 'utf8'))
      .split('\n')
      .find((line) => line.split(' ')[4] === '/');
    assert.match(root?.split(' ')[5] ?? '', /^ro\b/);
  }
});

scenario('the controllers are connected with the API server and the store, and with nobody else', async (installed) => {
  const store = (await storeAddress(installed)).host;
  const controllers = (await processes(installed)).filter(({ name }) => name === 'impound-controller');
  const found = (await Promise.all(controllers.map(({ pid }) => connections(pid, 8443)))).flat();
  assert.ok(found.includes('10.96.0.1:443'));
  assert.deepEqual(
    found.filter((address) => address !== '10.96.0.1:443' && address !== store),
    [],
  );
});
