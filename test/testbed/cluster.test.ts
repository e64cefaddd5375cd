// The bed itself: three nodes, names and services between them, tokens, policies, an API server that dies, nothing left.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missing } from '../helpers/component.ts';
import { CLUSTER_COMPONENTS, type Cluster, type Pod, startCluster } from './cluster.ts';

const AUDIENCE = 'impound';
const NODES = ['node1', 'node2', 'node3'];
const ANSWER = 'an answer from node1';
/** Serves ANSWER on port 8080. */
const SERVER = `mkdir -p /tmp/www && echo '${ANSWER}' >/tmp/www/index.html && exec busybox httpd -f -p 8080 -h /tmp/www`;
const SLEEP = 'exec sleep 1000000';

const lacking = missing(CLUSTER_COMPONENTS);
const skip = lacking !== undefined && process.env.CI !== 'true' ? lacking : false;
const bed = skip === false ? await startBed() : undefined;

async function startBed(): Promise<{ readonly cluster: Cluster; readonly pods: readonly Pod[] }> {
  assert.equal(lacking, undefined);
  const began = Date.now();
  const cluster = await startCluster({ after }, { nodes: 3 });
  console.log(`three nodes are ready after ${Date.now() - began} ms`);
  const token = { serviceAccountToken: { audience: AUDIENCE, expirationSeconds: 600, path: 'token' } };
  const volumes = [{ name: 'identity', projected: { sources: [token] } }];
  const volumeMounts = [{ name: 'identity', mountPath: '/identity' }];
  const pods = await Promise.all(
    NODES.map((node, index) => {
      const more = { node, labels: { app: node }, container: { volumeMounts }, spec: { volumes } };
      return cluster.pod(`on-${node}`, index === 0 ? SERVER : SLEEP, more);
    }),
  );
  console.log(`a pod runs on each after ${Date.now() - began} ms`);
  return { cluster, pods };
}

const scenario = (name: string, work: (cluster: Cluster, ...pods: [Pod, Pod, Pod]) => Promise<void>): void => {
  test(name, { skip }, () => {
    const [first, second, third] = bed?.pods ?? [];
    assert.ok(bed && first && second && third);
    return work(bed.cluster, first, second, third);
  });
};

scenario('three nodes are ready, with a pod on each', async (cluster, ...pods) => {
  const lines = (await cluster.kubectl('get', 'nodes', '--no-headers')).trim().split('\n');
  assert.deepEqual(
    lines.map((line) => line.split(/\s+/).slice(0, 2)),
    NODES.map((name) => [name, 'Ready']),
  );
  assert.deepEqual(
    pods.map(({ node }) => node),
    NODES,
  );
});

scenario('a pod reaches a pod of another node by its address', async (cluster, first, second) => {
  assert.equal(
    await cluster.exec(second, 'timeout', '5', 'wget', '-qO-', `http://${first.address}:8080/`),
    `${ANSWER}\n`,
  );
});

scenario('a pod, and a program on a node, reach a service by its name', async (cluster, _, second) => {
  await cluster.apply({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web' },
    spec: { selector: { app: 'node1' }, ports: [{ port: 80, targetPort: 8080 }] },
  });
  const script = 'until timeout 1 wget -qO- http://web.default.svc.cluster.local/; do usleep 50000; done 2>/dev/null';
  assert.equal(await cluster.exec(second, 'timeout', '20', 'sh', '-c', script), `${ANSWER}\n`);
  assert.equal(await cluster.run('node3', ['busybox', 'timeout', '5', 'wget', '-qO-', 'http://web/']), `${ANSWER}\n`);
});

scenario(
  'a server of this machine is reached from the bed, and a server of the bed from this machine',
  async (cluster, first, second) => {
    const server = createServer((_, answer) => answer.end('from outside')).listen(0, '127.0.0.1');
    try {
      await once(server, 'listening');
      const published = await cluster.publish(`127.0.0.1:${(server.address() as AddressInfo).port}`);
      assert.equal(await cluster.exec(second, 'timeout', '5', 'wget', '-qO-', `http://${published}/`), 'from outside');
    } finally {
      server.close();
    }
    const reached = await cluster.reach('node2', `${first.address}:8080`);
    assert.equal(await (await fetch(`http://${reached}/`)).text(), `${ANSWER}\n`);
  },
);

interface TokenReview {
  readonly status: {
    readonly authenticated?: boolean;
    readonly error?: string;
    readonly audiences?: readonly string[];
    readonly user?: {
      readonly username: string;
      readonly uid: string;
      readonly groups: readonly string[];
      readonly extra?: Readonly<Record<string, readonly string[]>>;
    };
  };
}

const review = async (cluster: Cluster, token: string, ...audiences: string[]): Promise<TokenReview['status']> => {
  const spec = { token, ...(audiences.length === 0 ? {} : { audiences }) };
  const answer = await cluster.api('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec });
  return (answer as TokenReview).status;
};

scenario('a projected token is of its audience only, and says its pod and its node', async (cluster, first) => {
  const token = (await cluster.run('node1', ['cat', join(first.projected('identity'), 'token')])).trim();
  assert.equal(token, (await cluster.exec(first, 'cat', '/identity/token')).trim());
  const { user, ...status } = await review(cluster, token, AUDIENCE);
  assert.deepEqual(status, { authenticated: true, audiences: [AUDIENCE] });
  assert.equal(user?.username, 'system:serviceaccount:default:default');
  const nodeUid = await cluster.kubectl('get', 'node', 'node1', '-o', 'jsonpath={.metadata.uid}');
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  assert.deepEqual(user?.extra, {
    'authentication.kubernetes.io/credential-id': [`JTI=${claims.jti}`],
    'authentication.kubernetes.io/node-name': ['node1'],
    'authentication.kubernetes.io/node-uid': [nodeUid],
    'authentication.kubernetes.io/pod-name': [first.name],
    'authentication.kubernetes.io/pod-uid': [first.uid],
  });
  for (const audiences of [[], ['another']]) {
    const refused = await review(cluster, token, ...audiences);
    assert.notEqual(refused.authenticated, true);
    assert.match(refused.error ?? '', /token audiences \["impound"\] is invalid for the target audiences/);
  }
});

scenario('a token asked for is of the audience and the pod asked for', async (cluster, _, second) => {
  const bound = await review(
    cluster,
    await cluster.token('default', { audience: AUDIENCE, pod: second.name }),
    AUDIENCE,
  );
  assert.equal(bound.authenticated, true);
  assert.deepEqual(bound.user?.extra?.['authentication.kubernetes.io/pod-uid'], [second.uid]);
  assert.deepEqual(bound.user?.extra?.['authentication.kubernetes.io/node-name'], ['node2']);
  const unbound = await review(cluster, await cluster.token('kube-system/default'));
  assert.equal(unbound.user?.username, 'system:serviceaccount:kube-system:default');
  assert.deepEqual(Object.keys(unbound.user?.extra ?? {}), ['authentication.kubernetes.io/credential-id']);
});

// the API server keeps what it found of a token for 10 s: one that was asked about before is believed that long
scenario('the token of a pod that is gone is refused, also when a pod of its name is there again', async (cluster) => {
  const old = await cluster.pod('replaced', SLEEP, { node: 'node3' });
  const token = await cluster.token('default', { audience: AUDIENCE, pod: old.name });
  await cluster.kubectl('delete', 'pod', old.name, '--force', '--wait');
  assert.match((await review(cluster, token, AUDIENCE)).error ?? '', /has been invalidated/);
  const { uid } = await cluster.pod('replaced', SLEEP, { node: 'node3' });
  assert.notEqual(uid, old.uid);
  assert.match((await review(cluster, token, AUDIENCE)).error ?? '', /does not match service account pod ref claim/);
});

scenario('a node that a firewall cuts off reaches nothing, and reaches it again', async (cluster) => {
  const reaches = (): Promise<boolean> =>
    cluster.run('node3', ['timeout', '2', 'bash', '-c', 'exec 3<>/dev/tcp/10.99.0.1/16443']).then(
      () => true,
      () => false,
    );
  assert.equal(await reaches(), true);
  const chain = (hook: string): string =>
    `add chain inet cut ${hook} { type filter hook ${hook} priority -300; policy drop; }`;
  await cluster.run('node3', ['nft', ['add table inet cut', chain('input'), chain('output')].join('; ')]);
  assert.equal(await reaches(), false);
  await cluster.run('node3', ['nft', 'delete table inet cut']);
  assert.equal(await reaches(), true);
});

scenario('nothing new is scheduled to a cordoned node', async (cluster) => {
  await cluster.kubectl('cordon', 'node2');
  const waiting = cluster.pod('late', SLEEP, { node: 'node2' });
  const unscheduled = await eventually(async () => {
    const conditions = await cluster.kubectl(
      'get',
      'pod',
      'late',
      '--ignore-not-found',
      '-o',
      'jsonpath={.status.conditions}',
    );
    return conditions.includes('Unschedulable') ? conditions : undefined;
  });
  assert.match(unscheduled, /were unschedulable/);
  await cluster.kubectl('uncordon', 'node2');
  assert.equal((await waiting).node, 'node2');
});

scenario('a policy of admission refuses who says to be another', async (cluster) => {
  await cluster.apply(POLICY);
  const ask = (requestedBy: string): Promise<unknown> =>
    cluster.api('POST', '/api/v1/namespaces/default/configmaps?dryRun=All', {
      metadata: { name: 'asked' },
      data: { requestedBy },
    });
  const refusal = await eventually(() => ask('mallory').then(() => undefined, String));
  assert.match(refusal, /requestedBy is admin, not mallory/);
  await ask('admin');
});

scenario('a daemon that is paused is silent, and goes on', async (cluster) => {
  const { kubelet } = cluster.nodes[2] ?? assert.fail();
  const state = (): string => /^State:\s+(\w)/m.exec(readFileSync(`/proc/${kubelet.pid}/status`, 'utf8'))?.[1] ?? '';
  kubelet.pause();
  assert.equal(await eventually(async () => (state() === 'T' ? 'T' : undefined)), 'T');
  kubelet.resume();
  assert.notEqual(await eventually(async () => (state() === 'T' ? undefined : state())), 'T');
});

scenario('the API server dies and comes again, and its nodes with it', async (cluster, _, second) => {
  const renewed = async (): Promise<readonly string[]> =>
    (
      await cluster.kubectl('get', 'leases', '-n', 'kube-node-lease', '-o', 'jsonpath={.items[*].spec.renewTime}')
    ).split(' ');
  await cluster.apiServer.kill();
  await assert.rejects(cluster.api('GET', '/readyz'));
  // what runs does not need it
  const web = ['busybox', 'timeout', '5', 'wget', '-qO-', 'http://web/'];
  assert.equal(await cluster.run('node3', web), `${ANSWER}\n`);
  const killed = Date.now();
  await cluster.apiServer.start();
  const ready = Date.now();
  console.log(`the API server is ready ${ready - killed} ms after it was started again`);
  await eventually(async () => (await renewed()).every((time) => Date.parse(time) > ready), 60);
  console.log(`all nodes have renewed their leases ${Date.now() - ready} ms later`);
  assert.doesNotMatch(await cluster.kubectl('get', 'nodes'), /NotReady/);
  assert.equal((await cluster.exec(second, 'echo', 'still here')).trim(), 'still here');
});

scenario('nothing of it is left behind', async (cluster) => {
  const ids: string[] = [];
  const networks: string[] = [];
  for (const { name, containerd } of cluster.nodes) {
    const list = await cluster.run(name, ['ctr', '-a', containerd, '-n', 'k8s.io', 'containers', 'list', '-q']);
    ids.push(...list.trim().split('\n'));
    networks.push((await cluster.run(name, ['readlink', '/proc/self/ns/net'])).trim());
  }
  assert.ok(ids.length >= 8, ids.join(' '));
  const began = Date.now();
  await cluster.stop();
  console.log(`gone after ${Date.now() - began} ms`);
  assert.equal(existsSync(cluster.directory), false);
  assert.equal(readFileSync('/proc/self/mountinfo', 'utf8').includes(cluster.directory), false);
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const words = quietly(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
    assert.ok(!words.includes(cluster.directory), words);
    assert.ok(!networks.includes(quietly(() => readlinkSync(`/proc/${pid}/ns/net`))), words);
  }
  const named = ids.flatMap((id) => ['-o', '-name', `*${id}*`]).slice(1);
  const places = ['/sys/fs/cgroup', '/run/containerd', '/var/lib/cni', '/var/lib/kubelet', '/var/log/containers'];
  assert.equal(execFileSync('find', [...places, ...named], { encoding: 'utf8' }), '');
});

function quietly(read: () => string): string {
  try {
    return read();
  } catch {
    return ''; // it ended meanwhile
  }
}

/** What `probe` answers once it answers something that is true. */
async function eventually<T>(probe: () => Promise<T | undefined | false>, seconds = 20): Promise<T> {
  for (const end = Date.now() + seconds * 1000; ; ) {
    const answer = await probe();
    if (answer) return answer;
    assert.ok(Date.now() < end, `not within ${seconds} s: ${probe}`);
    await sleep(50);
  }
}

const POLICY = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: requested-by}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}
  validations:
  - expression: "!has(object.data) || !('requestedBy' in object.data) || object.data['requestedBy'] == request.userInfo.username"
    messageExpression: "'requestedBy is ' + request.userInfo.username + ', not ' + object.data['requestedBy']"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: requested-by}
spec: {policyName: requested-by, validationActions: [Deny]}
`;
