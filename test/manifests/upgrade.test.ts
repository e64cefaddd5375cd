// Captures while what makes them is replaced: images rolled out and back, both replicas moved at once, the node drained.
// Nothing is lost, and the node comes back as it was.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { fileBed } from '../helpers/file-bed.ts';
import { begin, digests, get, isReady, leader, pods, release, sealedWhole } from '../helpers/installed-captures.ts';
import { chainOf, notes } from '../helpers/sealed.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { imageReference } from '../testbed/image.ts';
import { INSTALLED_COMPONENTS, type Installed, startInstalled } from '../testbed/installed.ts';

const scenario = await fileBed(INSTALLED_COMPONENTS, startBed);
const home = await fileTemporaryFolder();

const WORKLOADS = ['deployment/impound-controller', 'daemonset/impound-agent'] as const;

/** The same images under a second tag, as a newer version would be. */
async function startBed(): Promise<Installed> {
  const installed = await startInstalled({ after });
  const { cluster } = installed;
  const images = [imageReference('controller'), imageReference('agent')];
  await Promise.all(
    cluster.nodes.map(async ({ name, containerd }) => {
      const ctr = ['ctr', '-a', containerd, '-n', 'k8s.io', 'images', 'tag'];
      for (const image of images)
        await cluster.run(name, [...ctr, `docker.io/library/${image}`, `docker.io/library/${next(image)}`]);
    }),
  );
  return installed;
}

function next(image: string): string {
  return image.replace(/:.*/, ':next');
}

async function tags(installed: Installed): Promise<readonly (string | undefined)[]> {
  const all = [...(await pods(installed, 'controller')), ...(await pods(installed, 'agent'))];
  return [...new Set(all.map(({ spec }) => spec.containers[0]?.image.split(':').at(-1)))];
}

async function rolledOut({ cluster, namespace }: Installed): Promise<void> {
  for (const workload of WORKLOADS)
    await cluster.kubectl('rollout', 'status', '-n', namespace, workload, '--timeout=90s');
}

/** In the middle of a capture that watches for `watchSeconds`; the pods of its node's agent and of both replicas are others then. */
async function rolled(installed: Installed, name: string, roll: () => Promise<unknown>): Promise<void> {
  const names = async () => (await pods(installed, 'controller')).map(({ metadata }) => metadata.name);
  const replicas = await names();
  await begin(installed, name, { watchSeconds: 20 });
  const before = await digests(installed, await get(installed, name));
  assert.ok(before.length > 3);
  await roll();
  await rolledOut(installed);
  for (const one of await names()) assert.ok(!replicas.includes(one), one);
  const sealed = await sealedWhole(installed, name, home, before);
  const { session = 0 } = sealed.status ?? {};
  assert.ok(session >= 2, `session ${session}: its agent was replaced under way`);
  const chain = await chainOf(installed, sealed);
  const signers = chain.map(({ statement }) => statement.predicate.actor).filter(({ kind }) => kind === 'controller');
  assert.ok(
    signers.some(({ name: pod }) => !replicas.includes(pod)),
    'a new replica has signed',
  );
  await release(installed, name);
}

scenario('images are rolled out in the middle of a capture', async (installed) => {
  const { cluster, namespace } = installed;
  await rolled(installed, 'upgraded', async () => {
    const set = ['set', 'image', '-n', namespace];
    await cluster.kubectl(...set, WORKLOADS[0], `controller=${next(imageReference('controller'))}`);
    await cluster.kubectl(...set, WORKLOADS[1], `agent=${next(imageReference('agent'))}`);
  });
  assert.deepEqual(await tags(installed), ['next']);
});

scenario('and rolled back in the middle of the next one', async (installed) => {
  const { cluster, namespace } = installed;
  await rolled(installed, 'rolled-back', async () => {
    for (const workload of WORKLOADS) await cluster.kubectl('rollout', 'undo', '-n', namespace, workload);
  });
  assert.ok(!(await tags(installed)).includes('next'));
});

scenario('one replica may be evicted, the second not before the first is back', async (installed) => {
  const { cluster, namespace } = installed;
  const [one, two] = await pods(installed, 'controller');
  assert.ok(one && two);
  const evict = ({ metadata: { name } }: typeof one): Promise<unknown> =>
    cluster.api('POST', `/api/v1/namespaces/${namespace}/pods/${name}/eviction`, {
      ...{ apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace } },
    });
  await evict(one);
  await assert.rejects(evict(two), /: 429 .*disruption budget/);
  await cluster.kubectl('rollout', 'status', '-n', namespace, WORKLOADS[0], '--timeout=60s');
});

scenario(
  'both replicas are deleted at once in the middle of a capture, which goes on in its session',
  async (installed) => {
    const { cluster, namespace } = installed;
    await begin(installed, 'moved', { watchSeconds: 15 });
    const before = await digests(installed, await get(installed, 'moved'));
    const were = (await pods(installed, 'controller')).map(({ metadata }) => metadata.uid);
    const selected = ['pods', '-n', namespace, '-l', 'app.kubernetes.io/name=impound-controller'];
    await cluster.kubectl('delete', ...selected, '--wait=false');
    const sealed = await sealedWhole(installed, 'moved', home, before);
    assert.equal(sealed.status?.session, 1);
    const are = await pods(installed, 'controller');
    assert.ok(are.every(({ metadata }) => !were.includes(metadata.uid)));
    await release(installed, 'moved');
  },
);

scenario(
  'the suspect node is drained: its agent stays, a replica on it leaves, the capture goes on',
  async (installed) => {
    const { cluster, namespace } = installed;
    await cluster.kubectl('rollout', 'status', '-n', namespace, WORKLOADS[0], '--timeout=60s');
    const leads = await leader(installed);
    const node = (await pods(installed, 'controller')).find(({ metadata }) => metadata.name === leads)?.spec.nodeName;
    assert.ok(node !== undefined);
    const agent = (await pods(installed, 'agent')).find(({ spec }) => spec.nodeName === node);
    await begin(installed, 'drained', { node, watchSeconds: 12 });
    const before = await digests(installed, await get(installed, 'drained'));
    await cluster.kubectl('drain', node, '--ignore-daemonsets', '--delete-emptydir-data', '--force', '--timeout=60s');
    const replicas = await pods(installed, 'controller');
    assert.ok(replicas.every(({ spec }) => spec.nodeName !== node));
    const sealed = await sealedWhole(installed, 'drained', home, before);
    assert.equal(sealed.status?.session, 1, 'its agent was left alone');
    const still = (await pods(installed, 'agent')).find(({ spec }) => spec.nodeName === node);
    assert.deepEqual([still?.metadata.uid, still && isReady(still)], [agent?.metadata.uid, true]);
    const chain = await chainOf(installed, sealed);
    assert.equal(notes(chain, 'replica-on-suspect')[0]?.replica, leads);
    await release(installed, 'drained');
  },
);
