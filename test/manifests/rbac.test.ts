// Roles and policies on a real API server: what each may, and that it may nothing else.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { FINALIZER } from '../../protocol/index.ts';
import { missing } from '../helpers/component.ts';
import type { Answer } from '../protocol/ask.ts';
import { type Person, readManifests, refusedByRoles, reviewOf, rightsOf } from '../protocol/rights.ts';
import { WHOLE_SPEC } from '../protocol/samples.ts';
import { CLUSTER_COMPONENTS } from '../testbed/cluster.ts';
import { API_FILES, BASE } from '../testbed/manifests.ts';
import {
  ANALYST,
  AUDITOR,
  allowed,
  type Bed,
  CAPTURES,
  CONTAINING,
  CONTROLLER_USER,
  capture,
  eventually,
  person,
  RELEASER,
  RESPONDER,
  refusedByPolicy,
  startBed,
  TRY,
} from './rbac-bed.ts';
import { LATER, MAY, VERBS } from './rbac-expected.ts';

const OWN = 'namespaces/impound-system';
const POLICIES = [
  ...['requester', 'containment', 'release'].map((name) => `${name}.nodecaptures.impound.dev`),
  'portforward.pods.impound.dev',
];
const ANNOTATED = { metadata: { annotations: { 'impound.dev/test': 'x' } } };

const lacking = missing(CLUSTER_COMPONENTS);
const skip = lacking !== undefined && process.env.CI !== 'true' ? lacking : false;
assert.ok(lacking === undefined || skip !== false, lacking);
const bed = skip === false ? await startBed() : undefined;

const scenario = (name: string, work: (bed: Bed) => Promise<void>): void => {
  test(name, { skip }, () => work(bed ?? assert.fail()));
};

scenario('all of it is applied on the server, and again', async ({ cluster }) => {
  const again = await cluster.kubectl('apply', '--server-side', '--dry-run=server', ...API_FILES);
  const lines = again.trim().split('\n');
  assert.ok(lines.length === 28 && lines.every((line) => line.endsWith('serverside-applied (server dry run)')), again);
});

scenario('nobody asks in the name of another', async ({ as, controller }) => {
  allowed(await as(RESPONDER, 'POST', `${CAPTURES}${TRY}`, capture('own', 'rita')));
  for (const name of ['rolf', 'Rita', 'rita ', CONTROLLER_USER])
    refusedByPolicy(
      await as(RESPONDER, 'POST', `${CAPTURES}${TRY}`, capture('forged', name)),
      /and you are "rita": write your own name there/,
    );
  assert.ok(refusedByRoles(await as(controller, 'POST', CAPTURES, capture('own', CONTROLLER_USER))));
});

scenario('nobody makes an alert up: only who is given that right names one', async ({ as, cluster }) => {
  const { trigger } = WHOLE_SPEC;
  const told = (who: Person, name: string): Promise<Answer> =>
    as(who, 'POST', `${CAPTURES}${TRY}`, capture('alert', name, { trigger }));
  refusedByPolicy(await told(RESPONDER, 'rita'), /spec.trigger names the alert .* for the controller/);
  const rules = [
    { apiGroups: ['impound.dev'], resources: ['nodecaptures', 'nodecaptures/trigger'], verbs: ['create'] },
  ];
  const role = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: 'alerting' } };
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'alerting' };
  const subjects = [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'alma' }];
  await cluster.apply({ ...role, rules }, { ...role, kind: 'ClusterRoleBinding', roleRef, subjects });
  const alma = person('alma');
  await eventually(async () => (await told(alma, 'alma')).status === 201);
  refusedByPolicy(await told(alma, 'rita'), /and you are/);
});

scenario('containment is asked for by who has that right', async ({ as, uses }) => {
  const isolate = { when: 'afterVolatile', scope: 'node' };
  const wishes = { isolate, removePods: WHOLE_SPEC.removePods, disks: { mode: 'snapshot' } };
  for (const [field, wish] of Object.entries(wishes)) {
    const asked = (who: Person, name: string): Promise<Answer> =>
      as(who, 'POST', `${CAPTURES}${TRY}`, capture('contain', name, { [field]: wish }));
    refusedByPolicy(await asked(RESPONDER, 'rita'), new RegExp(`spec.${field} needs the right "contain"`));
    refusedByPolicy(await asked(RESPONDER, 'rita'), /ask for the ClusterRole impound-containment/);
    allowed(await asked(CONTAINING, 'carl'));
  }
  uses(CONTAINING, 'contain nodecaptures/containment');
  refusedByPolicy(
    await as(RESPONDER, 'POST', `${CAPTURES}${TRY}`, capture('all', 'rita', wishes)),
    /spec.isolate and spec.removePods and spec.disks needs/,
  );
  const unnamed = { ...capture('', 'rita'), metadata: { generateName: 'unnamed-' } };
  allowed(await as(RESPONDER, 'POST', `${CAPTURES}${TRY}`, unnamed));
  const harmless = { isolate: { when: 'never' }, removePods: [], disks: { mode: 'none' } };
  allowed(await as(RESPONDER, 'POST', `${CAPTURES}${TRY}`, capture('none', 'rita', harmless)));
});

scenario('a responder asks and cancels, and neither releases nor deletes', async ({ as }) => {
  const path = `${CAPTURES}/mine`;
  const { body } = allowed(await as(RESPONDER, 'POST', CAPTURES, capture('mine', 'rita')));
  allowed(await as(RESPONDER, 'GET', path));
  allowed(await as(RESPONDER, 'GET', CAPTURES));
  allowed(await as(RESPONDER, 'GET', `${CAPTURES}?watch=1&timeoutSeconds=1`));
  allowed(await as(RESPONDER, 'PUT', `${path}${TRY}`, { ...body, spec: { ...(body.spec as object), cancel: true } }));
  allowed(await as(RESPONDER, 'PATCH', path, { spec: { cancel: true } }));
  const release = { spec: { release: true } };
  refusedByPolicy(await as(RESPONDER, 'PATCH', path, release), /right "update" on nodecaptures\/release/);
  refusedByPolicy(
    await as(RESPONDER, 'POST', `${CAPTURES}${TRY}`, capture('at-once', 'rita', { release: true })),
    /setting spec.release gives the node back/,
  );
  for (const refused of [
    await as(RESPONDER, 'DELETE', path),
    await as(RESPONDER, 'DELETE', CAPTURES),
    await as(RESPONDER, 'PATCH', `${path}/status`, { status: { phase: 'Released' } }),
  ])
    assert.ok(refusedByRoles(refused), refused.message);
});

scenario('a right to delete alone does not delete', async ({ as, cluster }) => {
  const everything = { apiGroups: ['impound.dev'], resources: ['nodecaptures'], verbs: ['*'] };
  const role = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: 'careless' } };
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'careless' };
  const subjects = [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'eve' }];
  await cluster.apply({ ...role, rules: [everything] }, { ...role, kind: 'ClusterRoleBinding', roleRef, subjects });
  const eve = person('eve');
  await eventually(async () => !refusedByRoles(await as(eve, 'DELETE', `${CAPTURES}/mine${TRY}`)));
  for (const path of [`${CAPTURES}/mine`, CAPTURES])
    refusedByPolicy(await as(eve, 'DELETE', path), /deleting a NodeCapture gives the node back/);
  allowed(await as(eve, 'GET', `${CAPTURES}/mine`));
});

scenario('a right to release may be for one name only', async ({ as, cluster }) => {
  const rules = [
    { apiGroups: ['impound.dev'], resources: ['nodecaptures'], verbs: ['delete'] },
    { apiGroups: ['impound.dev'], resources: ['nodecaptures/release'], resourceNames: ['his'], verbs: ['update'] },
  ];
  const role = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: 'one' } };
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'one' };
  const subjects = [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'otto' }];
  await cluster.apply({ ...role, rules }, { ...role, kind: 'ClusterRoleBinding', roleRef, subjects });
  allowed(await as(RESPONDER, 'POST', CAPTURES, capture('his', 'rita')));
  const otto = person('otto');
  await eventually(async () => (await as(otto, 'DELETE', `${CAPTURES}/his${TRY}`)).status === 200);
  refusedByPolicy(await as(otto, 'DELETE', `${CAPTURES}/mine`), /deleting a NodeCapture gives the node back/);
});

scenario('nobody has it deleted by an owner, or takes its finalizer away', async ({ as, uses, controller }) => {
  const owned = {
    ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'gone', uid: 'b1a7c0de-0000-4000-8000-000000000000' }],
  };
  const held = { finalizers: [FINALIZER] };
  const path = `${CAPTURES}/mine`;
  const create = (metadata: object): Promise<Answer> =>
    as(RESPONDER, 'POST', `${CAPTURES}${TRY}`, capture('owned', 'rita', {}, metadata));
  refusedByPolicy(await create(owned), /is deleted with it/);
  for (const finalizers of [['example.com/mine'], [FINALIZER, 'example.com/mine']])
    refusedByPolicy(await create({ finalizers }), /are the controller's/);
  allowed(await create(held));
  refusedByPolicy(await as(RESPONDER, 'PATCH', path, { metadata: owned }), /is deleted with it/);
  allowed(await as(controller, 'PATCH', path, { metadata: held }));
  uses(controller, 'update nodecaptures/finalizers');
  refusedByPolicy(await as(RESPONDER, 'PATCH', path, { metadata: { finalizers: null } }), /are the controller's/);
  refusedByPolicy(await as(RELEASER, 'PATCH', path, { metadata: { finalizers: null } }), /are the controller's/);
  allowed(await as(RESPONDER, 'PATCH', path, { metadata: { labels: { team: 'red' } } }));
});

scenario('a releaser releases and deletes, and the finalizer is the last word', async ({ as, uses, controller }) => {
  const path = `${CAPTURES}/mine`;
  assert.ok(refusedByRoles(await as(RELEASER, 'POST', CAPTURES, capture('other', 'rolf'))));
  const { body } = allowed(await as(RELEASER, 'GET', path));
  allowed(await as(RELEASER, 'GET', CAPTURES));
  allowed(await as(RELEASER, 'GET', `${CAPTURES}?watch=1&timeoutSeconds=1`));
  const released = { ...body, spec: { ...(body.spec as object), release: true } };
  allowed(await as(RELEASER, 'PUT', `${path}${TRY}`, released));
  allowed(await as(RELEASER, 'PATCH', path, { spec: { release: true } }));
  uses(RELEASER, 'update nodecaptures/release');
  // what a releaser has set does not stand in the way of others
  allowed(await as(RESPONDER, 'PATCH', path, { metadata: { labels: { team: 'blue' } } }));
  allowed(await as(RELEASER, 'DELETE', path));
  const waiting = allowed(await as(RELEASER, 'GET', path));
  assert.ok((waiting.body.metadata as { readonly deletionTimestamp?: string }).deletionTimestamp !== undefined);
  allowed(await as(controller, 'PATCH', path, { metadata: { finalizers: null } }));
  assert.equal((await as(RELEASER, 'GET', path)).status, 404);
});

scenario('an analyst and an auditor look, and change nothing', async ({ as }) => {
  allowed(await as(RESPONDER, 'POST', CAPTURES, capture('seen', 'rita')));
  const path = `${CAPTURES}/seen`;
  for (const who of [ANALYST, AUDITOR]) {
    allowed(await as(who, 'GET', CAPTURES));
    allowed(await as(who, 'GET', path));
    const changes = [
      await as(who, 'POST', CAPTURES, capture('other', 'anna')),
      await as(who, 'PATCH', path, { spec: { cancel: true } }),
      await as(who, 'PATCH', `${path}/status`, { status: {} }),
      await as(who, 'DELETE', path),
    ];
    for (const change of changes) assert.ok(refusedByRoles(change), change.message);
  }
  allowed(await as(AUDITOR, 'GET', `${CAPTURES}?watch=1&timeoutSeconds=1`));
});

scenario('who watches sees why nothing goes on, and no more of the namespace', async ({ as }) => {
  for (const who of [RESPONDER, AUDITOR]) {
    allowed(await as(who, 'GET', `/api/v1/${OWN}/pods`));
    for (const path of ['coordination.k8s.io/v1/leases/impound-controller', 'apps/v1/daemonsets/impound-agent']) {
      const [group, version, ...rest] = path.split('/');
      assert.equal((await as(who, 'GET', `/apis/${group}/${version}/${OWN}/${rest.join('/')}`)).status, 404);
    }
    assert.ok(refusedByRoles(await as(who, 'GET', `/api/v1/${OWN}/secrets`)));
  }
  allowed(await as(RESPONDER, 'GET', '/api/v1/nodes'));
  allowed(await as(RESPONDER, 'GET', '/api/v1/nodes/node1'));
  const policies = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies';
  for (const name of POLICIES) {
    allowed(await as(RESPONDER, 'GET', `${policies}/${name}`));
    allowed(await as(RESPONDER, 'GET', `${policies.replace(/ies$/, 'ybindings')}/${name}`));
  }
  assert.ok(refusedByRoles(await as(RESPONDER, 'GET', `${policies}/another`)));
});

scenario("a port-forward is for the controller's pods, whoever asks", async ({ as }) => {
  const administrator: Person = { who: 'administrator', roles: [] };
  const to = (who: Person, method: 'GET' | 'POST', pod: string): Promise<Answer> =>
    as(who, method, `/api/v1/${OWN}/pods/${pod}/portforward`);
  for (const who of [RESPONDER, ANALYST, administrator])
    for (const method of ['GET', 'POST'] as const) {
      refusedByPolicy(await to(who, method, 'impound-agent-x'), /port-forward is for the pods of the controller/);
      assert.equal((await to(who, method, 'impound-controller-x')).status, 404);
    }
  for (const who of [RELEASER, AUDITOR]) assert.ok(refusedByRoles(await to(who, 'POST', 'impound-controller-x')));
  for (const who of [RESPONDER, ANALYST]) {
    assert.equal((await as(who, 'GET', `/api/v1/${OWN}/configmaps/impound-ca`)).status, 404);
    allowed(await as(who, 'GET', `/api/v1/${OWN}/pods`));
  }
});

scenario('the controller does what it is there for', async ({ as, controller }) => {
  const path = `${CAPTURES}/followed`;
  allowed(await as(RESPONDER, 'POST', CAPTURES, capture('followed', 'rita')));
  const ask = async (
    ...[method, where, object]: readonly ['GET' | 'POST' | 'PATCH', string, object?]
  ): Promise<Answer> => allowed(await as(controller, method, where, object));
  await ask('PATCH', `${path}/status`, { status: { phase: 'Pending' } });
  const lists = [CAPTURES, '/api/v1/nodes', `/api/v1/${OWN}/pods`];
  await Promise.all(
    lists.flatMap((list) => [list, `${list}?watch=1&timeoutSeconds=1`]).map((path) => ask('GET', path)),
  );
  await ask('GET', '/api/v1/pods');
  await ask('GET', '/api/v1/nodes/node1');
  const taint = { key: 'impound.dev/capture', value: 'followed', effect: 'NoSchedule' };
  await ask('PATCH', `/api/v1/nodes/node1${TRY}`, { spec: { unschedulable: true, taints: [taint] } });
  assert.equal((await as(controller, 'GET', `/api/v1/${OWN}/pods/none`)).status, 404);
  const involvedObject = { apiVersion: 'impound.dev/v1alpha1', kind: 'NodeCapture', name: 'followed' };
  const event = {
    metadata: { name: 'followed.1', namespace: 'default' },
    involvedObject,
    reason: 'Granted',
    type: 'Normal',
  };
  await ask('POST', '/api/v1/namespaces/default/events', event);
  await ask('PATCH', '/api/v1/namespaces/default/events/followed.1', { count: 2 });
  await ask('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token: 'none' } });
  const resourceAttributes = { group: 'impound.dev', resource: 'nodecaptures', subresource: 'bundle', verb: 'get' };
  const review = { spec: { user: 'anna', resourceAttributes } };
  await ask('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', review);
  const leases = `/apis/coordination.k8s.io/v1/${OWN}/leases`;
  await ask('POST', leases, { metadata: { name: 'impound-controller' }, spec: {} });
  await ask('GET', `${leases}/impound-controller`);
  await ask('PATCH', `${leases}/impound-controller`, ANNOTATED);
  await ask('GET', '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node1');
  assert.ok(refusedByRoles(await as(controller, 'DELETE', path)));
  refusedByPolicy(await as(controller, 'PATCH', path, { spec: { release: true } }), /impound-releaser/);
});

scenario("an agent's token opens nothing", async ({ as, agent }) => {
  for (const path of [CAPTURES, `${CAPTURES}/followed`, '/api/v1/nodes', '/api/v1/pods', `/api/v1/${OWN}/secrets`])
    assert.ok(refusedByRoles(await as(agent, 'GET', path)), path);
  assert.ok(refusedByRoles(await as(agent, 'POST', CAPTURES, capture('agent', 'x'))));
  const accounts = (await readManifests(join(BASE, 'rbac.yaml'))).filter(({ kind }) => kind === 'ServiceAccount');
  const account = accounts.find(({ metadata }) => metadata.name === 'impound-agent');
  assert.equal(account?.automountServiceAccountToken, false);
});

scenario('every role allows what is written down here, and nothing else', async ({ as, uses }) => {
  const administrator: Person = { who: 'administrator', roles: [] };
  const targets = [...new Set(Object.values(MAY).flatMap((may) => Object.keys(may)))];
  for (const [user, may] of Object.entries(MAY)) {
    const groups = ['system:authenticated', ...(user.includes(':') ? ['system:serviceaccounts'] : [])];
    const found = await Promise.all(
      targets.map(async (target) => {
        const verbs = await Promise.all(
          VERBS.map(async (verb) => {
            const spec = { user, groups, resourceAttributes: reviewOf(target, verb) };
            const { body } = await as(administrator, 'POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
              spec,
            });
            return (body.status as { readonly allowed: boolean }).allowed ? [verb] : [];
          }),
        );
        return [target, verbs.flat().join(' ')] as const;
      }),
    );
    const given = Object.fromEntries(found.filter(([, verbs]) => verbs !== ''));
    assert.deepEqual(given, Object.fromEntries(Object.entries(may).filter(([, verbs]) => verbs !== '')), user);
  }
  uses(ANALYST, 'get nodecaptures/bundle'); // by the controller's question, as above
});

scenario('every right of every role is used above, or it is said what for', async ({ used }) => {
  const rights = rightsOf(await readManifests(join(BASE, 'rbac.yaml')));
  assert.ok(rights.length > 40);
  assert.deepEqual(
    rights.filter((right) => !used.has(right)),
    Object.keys(LATER),
  );
});

test('each policy refuses where it cannot be evaluated, and is bound', async () => {
  const manifests = await readManifests(join(BASE, 'policies.yaml'));
  const policies = manifests.filter(({ kind }) => kind === 'ValidatingAdmissionPolicy');
  const bound = manifests.filter(({ kind }) => kind === 'ValidatingAdmissionPolicyBinding');
  assert.deepEqual(
    bound.map(({ spec }) => spec?.policyName),
    policies.map(({ metadata }) => metadata.name),
  );
  for (const { spec } of policies) assert.equal(spec?.failurePolicy, 'Fail');
  for (const { spec } of bound) assert.deepEqual(spec?.validationActions, ['Deny', 'Audit']);
});
