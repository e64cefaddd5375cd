import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { layers } from '../../../agent/collectors/layers.ts';
import { collect, rowsOf } from '../../helpers/collect.ts';
import { missing } from '../../helpers/component.ts';
import { CONTAINERD_COMPONENTS, type Containerd, type Pod, startContainerd } from '../../testbed/containerd.ts';

const skip = missing(CONTAINERD_COMPONENTS);
if (skip !== undefined && process.env.CI === 'true') throw new Error(skip);
const INTRUDE = `echo x >> /etc/passwd; cp /bin/busybox /tmp/implant; chmod 4755 /tmp/implant; rm /bin/wget; sleep 1000 & exec -a sleep /tmp/implant 1000`;

interface Row {
  readonly file: { readonly path: string; readonly mode?: string };
  readonly container: { readonly id: string; readonly runtime: string };
  readonly orchestrator?: { readonly namespace: string; readonly resource: { readonly name: string } };
  readonly impound: Readonly<Record<string, unknown>>;
}

let bed: Containerd;
let pod: Pod;
let odd: string;

before(async () => {
  if (skip !== undefined) return;
  bed = await startContainerd();
  odd = await bed.run('hidden', 'odd.one', '/bin/sh', '-c', INTRUDE);
  pod = await bed.pod('shop', ['/bin/sh', '-c', INTRUDE], { namespace: 'prod' });
  for (const [namespace, id] of [
    ['hidden', odd],
    ['k8s.io', pod.containerId],
  ] as const) {
    await bed.exec(
      namespace,
      id,
      '/bin/sh',
      '-c',
      'until grep -q implant /proc/[0-9]*/maps 2>/dev/null; do sleep 0.1; done',
    );
  }
});

after(() => bed?.stop());

test('a pod’s container and one in a namespace of its own have their layers and drift', {
  skip: skip ?? false,
}, async () => {
  const sockets = { dockerSockets: [], criSockets: [bed.socket], containerdSockets: [bed.socket] };
  const { artefacts, gaps } = await collect(layers, { profile: 'standard', ...sockets });
  assert.deepEqual(gaps, []);
  assert.ok(artefacts.has(`30-container/layers/${pod.containerId}.tar.zst`));
  assert.ok(artefacts.has(`30-container/layers/${odd.replace('.', '_')}.tar.zst`));
  const rows = rowsOf(artefacts.get('30-container/layers/drift.jsonl')) as unknown as readonly Row[];
  for (const id of [odd, pod.containerId]) {
    const own = rows.filter(({ container }) => container.id === id);
    const changes = new Map(own.map(({ file, impound }) => [file.path, impound]));
    assert.equal(changes.get('/etc/passwd')?.change, 'changed');
    assert.equal(changes.get('/bin/wget')?.change, 'deleted');
    const implant = changes.get('/tmp/implant');
    assert.deepEqual([implant?.change, implant?.setuid, implant?.executed], ['added', true, true]);
    assert.equal((implant?.pids as readonly number[] | undefined)?.length, 1);
  }
  const shop = rows.find(({ container }) => container.id === pod.containerId);
  assert.equal(shop?.container.runtime, 'containerd');
  assert.deepEqual([shop?.orchestrator?.namespace, shop?.orchestrator?.resource.name], ['prod', 'shop']);
});

test('a suspect pod is taken alone', { skip: skip ?? false }, async () => {
  const sockets = { dockerSockets: [], criSockets: [bed.socket], containerdSockets: [bed.socket] };
  const suspects = [{ kind: 'pod', namespace: 'prod', name: 'shop' }] as const;
  const { artefacts } = await collect(layers, { profile: 'standard', suspects, ...sockets });
  assert.ok(artefacts.has(`30-container/layers/${pod.containerId}.tar.zst`));
  assert.ok(!artefacts.has(`30-container/layers/${odd.replace('.', '_')}.tar.zst`));
});
