// An installation that lives: rendered and applied again nothing changes, and a new authority comes in while agents work.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import type { NodeCapture } from '../../protocol/index.ts';
import { fileBed } from '../helpers/file-bed.ts';
import { INSTALLED_COMPONENTS, type Installed, startInstalled } from '../testbed/installed.ts';

const scenario = await fileBed(INSTALLED_COMPONENTS, () => startInstalled({ after }));
const HOST = 'impound-controller.impound-system.svc';
const SECONDS = 120;

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly uid: string };
    readonly spec: { readonly nodeName: string };
    readonly status: { readonly podIP: string };
  }[];
}

const podsOf = async ({ cluster }: Installed, name: string) => {
  const path = `/api/v1/namespaces/impound-system/pods?labelSelector=app.kubernetes.io/name=${name}`;
  return ((await cluster.api('GET', path)) as PodList).items;
};

async function until(what: string, is: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + SECONDS * 1000; !(await is()); await sleep(500))
    if (Date.now() > end) assert.fail(`not so after ${SECONDS} s: ${what}`);
}

/** Fingerprints of what the replicas show; throws where the authorities given would not take it. */
async function shown(installed: Installed, ca: string): Promise<ReadonlySet<string>> {
  const replicas = await podsOf(installed, 'impound-controller');
  const seen = await Promise.all(
    replicas.map(async ({ spec, status }) => {
      const [host = '', port] = (await installed.cluster.reach(spec.nodeName, `${status.podIP}:8443`)).split(':');
      const socket = connect({ host, port: Number(port), servername: HOST, ca });
      await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
      const { fingerprint256 } = socket.getPeerCertificate();
      socket.destroy();
      return fingerprint256;
    }),
  );
  return new Set(seen);
}

/** The kubelet looks at a pod's ConfigMaps and Secrets when it looks at the pod, which a change of the pod makes it do. */
async function nudge({ cluster }: Installed): Promise<void> {
  await cluster.kubectl('annotate', 'pods', '--all', '-n', 'impound-system', '--overwrite', `nudged=${Date.now()}`);
}

async function sealed({ cluster }: Installed, name: string): Promise<NodeCapture> {
  const spec = { node: 'node1', requestedBy: 'admin', reason: 'a test', profile: 'quick', watchSeconds: 1 };
  const collectors = { only: ['host'] };
  await cluster.apply({
    ...{ apiVersion: 'impound.dev/v1alpha1', kind: 'NodeCapture', metadata: { name } },
    spec: { ...spec, collectors, encryption: { none: true } },
  });
  const get = async () => (await cluster.api('GET', `/apis/impound.dev/v1alpha1/nodecaptures/${name}`)) as NodeCapture;
  await until(`${name} is sealed`, async () => (await get()).status?.phase === 'Sealed');
  await cluster.kubectl('patch', 'ncap', name, '--type=merge', '-p', '{"spec":{"release":true}}');
  return get();
}

scenario('rendered and applied again, nothing changes', async (installed) => {
  const { cluster, rendered } = installed;
  const uids = async () => (await podsOf(installed, 'impound-controller')).map(({ metadata }) => metadata.uid).sort();
  const before = [await readFile(rendered, 'utf8'), await uids()];
  await installed.apply();
  await cluster.kubectl('diff', '--server-side', '-f', rendered); // fails where there is a difference
  assert.deepEqual([await readFile(rendered, 'utf8'), await uids()], before);
});

scenario('a new authority comes in in two steps, and no agent is lost on the way', async (installed) => {
  const { cluster, keys } = installed;
  const file = (name: string): Promise<string> => readFile(join(keys, name), 'utf8');
  const [old, certificate] = [await file('ca.crt'), await file('tls.crt')];
  const uids = async () => (await podsOf(installed, 'impound-agent')).map(({ metadata }) => metadata.uid).sort();
  const before = await uids();
  await installed.apply('--rotate-ca');
  const fresh = await file('ca.crt');
  assert.notEqual(fresh, old);
  assert.equal(await file('tls.crt'), certificate);
  const agents = await podsOf(installed, 'impound-agent');
  await nudge(installed);
  const known = (node: string, uid: string): Promise<string> => {
    const volume = join(cluster.directory, node, 'kubelet/pods', uid, 'volumes/kubernetes.io~configmap/ca/ca.crt');
    return cluster.run(node, ['cat', volume]);
  };
  for (const { spec, metadata } of agents)
    await until(`${spec.nodeName} knows both`, async () => (await known(spec.nodeName, metadata.uid)) === fresh + old);

  await installed.apply('--renew');
  await nudge(installed);
  const { fingerprint256 } = new X509Certificate(await file('tls.crt'));
  await until('both replicas show the new certificate', async () => {
    const seen = await shown(installed, fresh + old);
    return seen.size === 1 && seen.has(fingerprint256);
  });
  assert.equal((await shown(installed, fresh)).size, 1);
  const { status } = await sealed(installed, 'after-rotation');
  assert.equal(status?.session, 1);
  assert.deepEqual(await uids(), before);
});
