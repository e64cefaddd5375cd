// Events on a real API server, by the controller's own rights: about the capture and the node, counted, never in the way.
import assert from 'node:assert/strict';
import { type Events, openEvents, type Regarding } from '../../controller/events.ts';
import type { Logger } from '../../evidence/index.ts';
import type { Kubernetes } from '../../kubernetes/client.ts';
import { fileBed } from '../helpers/file-bed.ts';
import { LEAST } from '../protocol/samples.ts';
import { CLUSTER_COMPONENTS } from '../testbed/cluster.ts';
import { type ControllerBed, nodeOf, startControllerBed } from './containment/bed.ts';

interface Event {
  readonly metadata: { readonly name: string };
  readonly involvedObject: Regarding;
  readonly [field: string]: unknown;
}

const scenario = await fileBed(CLUSTER_COMPONENTS, () => startControllerBed(1));

const EVENTS = '/api/v1/namespaces/default/events';
const CAPTURES = '/apis/impound.dev/v1alpha1/nodecaptures';
const start = Date.parse('2026-07-01T10:00:00Z');

function open(client: Kubernetes): {
  readonly events: Events;
  readonly logged: object[];
  at(milliseconds: number): void;
} {
  const logged: object[] = [];
  let now = start;
  const log: Logger = {
    debug() {},
    info() {},
    error() {},
    warn: (message, fields) => void logged.push({ message, ...fields }),
  };
  const events = openEvents(client, { log, clock: { now: () => new Date(now) }, instance: 'impound-controller-0' });
  return {
    ...{ events, logged },
    at(milliseconds) {
      now = start + milliseconds;
    },
  };
}

async function named({ admin }: ControllerBed, reason: string): Promise<readonly Event[]> {
  const { items } = await admin.list<Event>(EVENTS, { query: { fieldSelector: `reason=${reason}` } });
  return items;
}

async function about({ admin }: ControllerBed, name: string): Promise<readonly [Regarding, Regarding]> {
  const apiVersion = 'impound.dev/v1alpha1';
  const made = await admin.create<{ readonly metadata: { readonly uid: string } }>(CAPTURES, {
    ...{ apiVersion, kind: 'NodeCapture', metadata: { name }, spec: LEAST },
  });
  const node = await nodeOf(admin, 'node1');
  return [
    { apiVersion, kind: 'NodeCapture', name, uid: made.metadata.uid },
    { apiVersion: 'v1', kind: 'Node', name: 'node1', uid: node.metadata.uid },
  ];
}

scenario('an event is about the capture and about its node, as kubectl shows them', async (on) => {
  const { events, logged } = open(on.controller);
  const regarding = await about(on, 'told');
  events.emit({ type: 'Warning', reason: 'CordonRefused', message: 'the last node\nthat takes pods', regarding });
  await events.settled();
  assert.deepEqual(logged, []);
  const found = await named(on, 'CordonRefused');
  assert.deepEqual(found.map(({ involvedObject }) => involvedObject.kind).toSorted(), ['Node', 'NodeCapture']);
  for (const event of found) {
    const { type, message, count, reportingComponent, reportingInstance, firstTimestamp } = event;
    assert.deepEqual([type, message, count], ['Warning', 'the last node that takes pods', 1]);
    assert.deepEqual([reportingComponent, reportingInstance], ['impound-controller', 'impound-controller-0']);
    assert.equal(firstTimestamp, '2026-07-01T10:00:00Z');
  }
  const shown = await Promise.all([
    on.cluster.kubectl('describe', 'ncap', 'told'),
    on.cluster.kubectl('describe', 'node', 'node1'),
  ]);
  for (const text of shown)
    assert.match(text, /Warning +CordonRefused .* impound-controller +the last node that takes pods/);
});

scenario('the same is counted up for ten minutes, and told anew after', async (on) => {
  const { events, logged, at } = open(on.controller);
  const [capture] = await about(on, 'counted');
  const emit = (message: string): void =>
    events.emit({ type: 'Normal', reason: 'Counted', message, regarding: [capture] });
  for (const minutes of [0, 1, 9.9]) {
    at(minutes * 60_000);
    emit('again');
    if (minutes === 1) emit('another');
    await events.settled();
  }
  const counts = async (): Promise<readonly unknown[]> =>
    (await named(on, 'Counted')).map(({ message, count, lastTimestamp }) => [message, count, lastTimestamp]);
  assert.deepEqual((await counts()).toSorted(), [
    ['again', 3, '2026-07-01T10:09:54Z'],
    ['another', 1, '2026-07-01T10:01:00Z'],
  ]);
  at(10 * 60_000);
  emit('again');
  await events.settled();
  assert.equal((await counts()).length, 3);
  // one that the API server has let go is told anew too
  for (const { metadata } of await named(on, 'Counted')) await on.admin.remove(`${EVENTS}/${metadata.name}`);
  emit('again');
  await events.settled();
  assert.deepEqual(await counts(), [['again', 1, '2026-07-01T10:10:00Z']]);
  assert.deepEqual(logged, []);
});

scenario('a message of any length and script is taken', async (on) => {
  const { events, logged } = open(on.controller);
  const [capture] = await about(on, 'a'.repeat(63));
  for (const message of ['🦊'.repeat(2000), 'x'.repeat(100_000), 'é'.repeat(512), `a${'🦊'.repeat(300)}`])
    events.emit({ type: 'Normal', reason: 'Long', message, regarding: [capture] });
  await events.settled();
  assert.deepEqual(logged, []);
  const found = await named(on, 'Long');
  assert.equal(found.length, 4);
  for (const { message } of found)
    assert.ok(Buffer.byteLength(String(message)) <= 1024 && !String(message).includes('\uFFFD'));
});

scenario('an API server that is gone costs a log line each, and no more than a bounded number', async (on) => {
  const { events, logged } = open(on.controller);
  const [capture] = await about(on, 'gone');
  await on.cluster.apiServer.kill();
  for (let number = 0; number < 150; number++)
    events.emit({ type: 'Normal', reason: 'Gone', message: `${number}`, regarding: [capture] });
  await events.settled();
  const messages = Map.groupBy(logged, (line) => (line as { readonly message: string }).message);
  assert.deepEqual(
    [...messages].map(([message, lines]) => [message, lines.length]),
    [
      ['event dropped: too many wait for the API server', 50],
      ['event not told', 100],
    ],
  );
});
