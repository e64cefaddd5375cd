// A bed with Impound's manifests, people with their roles, and what a test asks there.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, openAsk } from '../protocol/ask.ts';
import { type Asking, askingWith, type Person } from '../protocol/rights.ts';
import { LEAST } from '../protocol/samples.ts';
import { type Cluster, startCluster } from '../testbed/cluster.ts';
import { API_FILES } from '../testbed/manifests.ts';

export const CAPTURES = '/apis/impound.dev/v1alpha1/nodecaptures';
export const TRY = '?dryRun=All';

export const person = (user: string, ...roles: string[]): Person => ({ who: { user }, roles });
export const RESPONDER = person('rita', 'impound-responder');
export const CONTAINING = person('carl', 'impound-responder', 'impound-containment');
export const RELEASER = person('rolf', 'impound-releaser');
export const ANALYST = person('anna', 'impound-analyst');
export const AUDITOR = person('audrey', 'impound-auditor');
const PEOPLE = [RESPONDER, CONTAINING, RELEASER, ANALYST, AUDITOR];
export const CONTROLLER_USER = 'system:serviceaccount:impound-system:impound-controller';
const CONTROLLER_ROLES = ['impound-controller', 'impound-controller-events', 'impound-controller-heartbeat'];

export interface Bed extends Asking {
  readonly cluster: Cluster;
  readonly controller: Person;
  readonly agent: Person;
}

export async function startBed(): Promise<Bed> {
  const cluster = await startCluster({ after }, { nodes: 1 });
  await cluster.kubectl('apply', '--server-side', ...API_FILES);
  await cluster.kubectl('wait', '--for=condition=Established', '--timeout=20s', 'crd/nodecaptures.impound.dev');
  const bindings = PEOPLE.flatMap(({ who, roles }) => {
    const name = typeof who === 'object' && 'user' in who ? who.user : '';
    const apiGroup = 'rbac.authorization.k8s.io';
    // as docs/install.md has it: the ClusterRole, and the Role of that name
    return roles.flatMap((role) =>
      (['ClusterRole', 'Role'] as const).map((kind) => ({
        apiVersion: `${apiGroup}/v1`,
        kind: `${kind}Binding`,
        metadata: { name: `${name}-${role}`, ...(kind === 'Role' ? { namespace: 'impound-system' } : {}) },
        roleRef: { apiGroup, kind, name: role },
        subjects: [{ apiGroup, kind: 'User', name }],
      })),
    );
  });
  await cluster.apply(...bindings);
  const { ask, close } = await openAsk(cluster);
  after(close);
  const asking = askingWith(ask);
  const [controller, agent] = await Promise.all(
    ['impound-controller', 'impound-agent'].map((name) => cluster.token(`impound-system/${name}`)),
  );
  assert.ok(controller !== undefined && agent !== undefined);
  const forged = capture('forged', 'mallory', { release: true, isolate: { when: 'first', scope: 'node' } });
  await eventually(async () => {
    const { message } = await ask(RESPONDER.who, 'POST', `${CAPTURES}${TRY}`, forged);
    const policies = ['requester', 'containment', 'release'];
    // one refusal is told: each policy is asked for by what only it refuses
    return policies.some((policy) => message.includes(`'${policy}.`)) && (await refusedByEach(asking));
  });
  return {
    cluster,
    ...asking,
    controller: { who: { token: controller }, roles: CONTROLLER_ROLES },
    agent: { who: { token: agent }, roles: [] },
  };
}

async function refusedByEach({ as }: Asking): Promise<boolean> {
  const wrong = [{ requestedBy: 'mallory' }, { isolate: { when: 'first', scope: 'node' } }, { release: true }];
  const answers = wrong.map((spec) => as(RESPONDER, 'POST', `${CAPTURES}${TRY}`, capture('forged', 'rita', spec)));
  return (await Promise.all(answers)).every(({ message }) => message.includes('ValidatingAdmissionPolicy'));
}

export async function eventually(probe: () => Promise<boolean>, seconds = 20): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !(await probe()); ) {
    assert.ok(Date.now() < end, `not within ${seconds} s: ${probe}`);
    await sleep(50);
  }
}

export function capture(name: string, requestedBy: string, more: object = {}, metadata: object = {}): object {
  const spec = { ...LEAST, requestedBy, ...more };
  return { apiVersion: 'impound.dev/v1alpha1', kind: 'NodeCapture', metadata: { name, ...metadata }, spec };
}

export function allowed(answer: Answer): Answer {
  assert.ok(answer.status === 200 || answer.status === 201, `${answer.status} ${answer.message}`);
  return answer;
}

export function refusedByPolicy({ status, message }: Answer, why: RegExp): void {
  assert.equal(status, 403, message);
  assert.match(message, /ValidatingAdmissionPolicy/);
  assert.match(message, why);
}
