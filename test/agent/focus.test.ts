import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KnownContainer } from '../../agent/containers.ts';
import { focusOn } from '../../agent/focus.ts';
import type { ProcessSummary } from '../../agent/host/walk.ts';

const WEB = 'a'.repeat(64);
const SIDECAR = 'b'.repeat(64);
const OTHER = 'c'.repeat(64);
const pod = { namespace: 'shop', name: 'web-1', uid: '11111111-2222-3333-4444-555555555555' };

const known: readonly KnownContainer[] = [
  { id: WEB, engine: 'containerd', name: 'web', running: true, pid: 100, pod },
  { id: SIDECAR, engine: 'containerd', name: 'sidecar', running: false, pod },
  { id: OTHER, engine: 'docker', name: 'db', running: true, pid: 200 },
];

function process(pid: number, netns: number, containerId?: string): ProcessSummary {
  const container = containerId === undefined ? {} : { container: { containerId } };
  return { pid, startTicks: '1', comm: 'x', netns, sockets: [], ...container };
}

const processes = [process(1, 1), process(100, 7, WEB), process(101, 7, WEB), process(200, 8, OTHER)];

test('a pod is its containers, running or not, with their processes and network', () => {
  const focus = focusOn([{ kind: 'pod', namespace: 'shop', name: 'web-1' }], processes, known);
  assert.deepEqual(
    focus.containers.map(({ id }) => id),
    [WEB, SIDECAR],
  );
  assert.deepEqual([...focus.pids], [100, 101]);
  assert.deepEqual([...focus.netns], [7]);
  assert.deepEqual(focus.gaps, []);
});

test('a container is meant by the beginning of its id and by its name', () => {
  for (const id of ['cccc', 'db']) {
    const focus = focusOn([{ kind: 'container', id }], processes, known);
    assert.deepEqual([...focus.pids], [200]);
    assert.deepEqual([...focus.netns], [8]);
  }
});

test('a process brings its container, and all that runs there', () => {
  const focus = focusOn([{ kind: 'pid', pid: 101 }], processes, known);
  assert.deepEqual(
    focus.containers.map(({ id }) => id),
    [WEB],
  );
  assert.deepEqual([...focus.pids].toSorted(), [100, 101]);
});

test('a container that no engine knows is found by its processes', () => {
  const focus = focusOn([{ kind: 'container', id: WEB.slice(0, 12) }], processes, []);
  assert.deepEqual([...focus.pids], [100, 101]);
  assert.deepEqual(focus.containers, []);
});

test('a suspect named twice is no loss, one that is not here is a gap', () => {
  const twice = focusOn(
    [
      { kind: 'container', id: 'db' },
      { kind: 'container', id: OTHER },
      { kind: 'pid', pid: 200 },
    ],
    processes,
    known,
  );
  assert.deepEqual(twice.gaps, []);
  const none = focusOn(
    [
      { kind: 'pid', pid: 9 },
      { kind: 'container', id: 'dead' },
      { kind: 'pod', namespace: 'shop', name: 'gone' },
    ],
    processes,
    known,
  );
  assert.deepEqual(
    none.gaps.map(({ reason, name }) => [reason, name]),
    [
      ['vanished', 'suspect pid:9'],
      ['absent', 'suspect container:dead'],
      ['absent', 'suspect pod:shop/gone'],
    ],
  );
});
