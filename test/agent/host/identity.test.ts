import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { containerIdentity } from '../../../agent/host/identity.ts';

const fixtures = join(import.meta.dirname, '../../fixtures/cgroup');
const ID = '3f4c1b2d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809';
const POD = '7c9e6679-7425-40de-944b-e07fc1f90ae7';

/** Runtime and pod of each fixture; all have the same container. `null`: no container at all. */
const EXPECTED: Readonly<Record<string, { runtime?: string; pod?: string; container?: false } | null>> = {
  'al2-docker-systemd-v1': { runtime: 'docker', pod: POD },
  'containerd-slice-prefix-name': { runtime: 'containerd', pod: POD },
  'crio-conmon': { pod: POD, container: false },
  'docker-cgroupfs-v1': { runtime: 'docker' },
  'docker-systemd-v2': { runtime: 'docker' },
  'eks-al2-containerd-cgroupfs-v1': { pod: POD },
  'eks-al2023-containerd-systemd-v2': { runtime: 'containerd', pod: POD },
  'gke-cos-containerd-cgroupfs-v2': { pod: POD },
  'k3s-containerd-v2': { pod: POD },
  'kind-node-in-docker': { runtime: 'containerd', pod: POD },
  'openshift-crio-systemd-v2': { runtime: 'cri-o', pod: POD },
  'other-cgroup-namespace': { runtime: 'containerd', pod: POD },
  'podman-systemd-v2': { runtime: 'podman' },
  'static-pod-v1': { pod: '0123456789abcdef0123456789abcdef' },
  'systemd-service-v2': null,
  'testbed-without-qos-v1': { pod: POD },
  'user-session-v2': null,
};

test('each kind of node names its containers and pods in a way of its own', async (t) => {
  const names = readdirSync(fixtures).filter((name) => name.endsWith('.txt'));
  assert.deepEqual(names.map((name) => name.replace('.txt', '')).sort(), Object.keys(EXPECTED).sort());
  for (const [name, expected] of Object.entries(EXPECTED)) {
    await t.test(name, () => {
      const identity = containerIdentity(readFileSync(join(fixtures, `${name}.txt`), 'latin1'));
      if (expected === null) {
        assert.equal(identity, undefined);
        return;
      }
      assert.equal(identity?.containerId, expected.container === false ? undefined : ID);
      assert.equal(identity?.podUid, expected.pod);
      if (expected.runtime !== undefined) assert.equal(identity?.runtime, expected.runtime);
    });
  }
});

test('a container within a container is the inner one, and says in which it is', () => {
  const identity = containerIdentity(readFileSync(join(fixtures, 'kind-node-in-docker.txt'), 'latin1'));
  assert.deepEqual(identity?.within, ['a'.repeat(64)]);
});

test('no text throws, however long', () => {
  const pieces = fc.constantFrom(
    '0::/',
    'kubepods',
    '/pod',
    POD,
    'docker-',
    ID,
    '.scope',
    ':',
    '\n',
    '..',
    '/',
    '-',
    '\u0000',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(pieces, { maxLength: 200 }).map((parts) => parts.join('')),
      ),
      (text) => {
        containerIdentity(text);
      },
    ),
  );
  containerIdentity(`0::/${'a/'.repeat(1_000_000)}`);
});
