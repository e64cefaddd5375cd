// The Docker collector where the engine is absent, hangs, lies, or loses containers meanwhile.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { docker } from '../../../agent/collectors/docker.ts';
import { at } from '../../../agent/runtime/json.ts';
import { collect, rowsOf } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { fileSocketFolder } from '../../helpers/temporary.ts';
import { timed } from '../../helpers/timed.ts';
import { walkThatSaw } from '../../helpers/walk.ts';
import { BUSYBOX, type Dockerd, startDockerd } from '../../testbed/dockerd.ts';
import { httpAnswer, startMeddler } from '../../testbed/meddler.ts';

const COMPONENTS = ['dockerd', 'docker', 'busybox'] as const;
const FOLDER = '30-container/docker';
const { folder, next: socketPath } = await fileSocketFolder();

async function withEngine(work: (bed: Dockerd) => Promise<void>): Promise<void> {
  const bed = await startDockerd();
  try {
    await work(bed);
  } finally {
    await bed.stop();
  }
}

test('no engine at any socket is one gap that says how to name one', async () => {
  const sockets = [join(folder, 'none'), join(folder, 'neither')];
  const { artefacts, gaps } = await collect(docker, { dockerSockets: sockets, walk: walkThatSaw() });
  assert.equal(artefacts.size, 0);
  assert.equal(gaps.length, 1);
  assert.equal(gaps[0]?.reason, 'absent');
  assert.match(gaps[0]?.detail ?? '', new RegExp(`no Docker engine answers at unix://${sockets[0]}.*--docker SOCKET`));
});

test('an engine that runs and answers at none of the sockets is no absence', async () => {
  const walk = walkThatSaw({ pid: 4711, startTicks: '1', comm: 'dockerd', sockets: [] });
  const { gaps } = await collect(docker, { dockerSockets: [join(folder, 'none')], walk });
  assert.equal(gaps[0]?.reason, 'failed');
  assert.match(gaps[0]?.detail ?? '', /dockerd runs as pid 4711: name its socket with --docker SOCKET/);
});

test('a hung engine, a FIFO and garbage are each a gap, in bounded time', async (t) => {
  const fifo = socketPath();
  execFileSync('mkfifo', [fifo]);
  const hung = await startMeddler(t, socketPath(), undefined, () => 'hang');
  const garbage = await startMeddler(t, socketPath(), undefined, () => Buffer.from('\0\xff no HTTP', 'latin1'));
  const { value, seconds } = await timed(() => collect(docker, { dockerSockets: [fifo, hung.socket, garbage.socket] }));
  const { artefacts, gaps } = value;
  assert.equal(artefacts.size, 0);
  assert.deepEqual(
    gaps.map(({ reason, name }) => [reason, name]),
    [
      ['failed', `unix://${fifo}`],
      ['timeout', `unix://${hung.socket}`],
      ['failed', `unix://${garbage.socket}`],
    ],
  );
  assert.ok(seconds < 5, `${seconds} s`);
});

test('an engine that says nonsense in every answer is gaps, and what it said is kept', async (t) => {
  const meddler = await startMeddler(t, socketPath(), undefined, (line) =>
    httpAnswer(line.includes('/_ping') ? 'OK' : '{{{'),
  );
  const { artefacts, gaps } = await collect(docker, { dockerSockets: [meddler.socket] });
  assert.ok(gaps.length >= 6);
  assert.ok(gaps.every((gap) => gap.reason === 'failed'));
  assert.ok((artefacts.get(`${FOLDER}/raw.tar.zst`) ?? Buffer.alloc(0)).includes('{{{'));
  assert.deepEqual(artefacts.get(`${FOLDER}/engine.json`)?.toString(), `{"socket":"unix://${meddler.socket}"}\n`);
});

test('an engine that answers other shapes than Docker does breaks nothing', async (t) => {
  const shapes = ['null', '[]', '[null,1,"x",{"Id":5},{"Id":"../../etc/x\\u0000"}]', '"text"', '{"Volumes":7}'];
  for (const shape of shapes) {
    const meddler = await startMeddler(t, socketPath(), undefined, (line) =>
      httpAnswer(line.includes('/_ping') ? 'OK' : shape),
    );
    const { artefacts } = await collect(docker, { dockerSockets: [meddler.socket] });
    assert.equal(artefacts.size, 11, shape);
    const raw = artefacts.get(`${FOLDER}/raw.tar.zst`)?.toString('latin1') ?? '';
    assert.doesNotMatch(raw, /"path":"[^"]*\.\.\//);
  }
});

test('a capture that is stopped lets go of an engine that hangs', async (t) => {
  const meddler = await startMeddler(t, socketPath(), undefined, (line) =>
    line.includes('/_ping') ? httpAnswer('OK') : 'hang',
  );
  const { value, seconds } = await timed(() =>
    collect(docker, { dockerSockets: [meddler.socket], signal: AbortSignal.timeout(300) }),
  );
  const { gaps } = value;
  assert.ok(seconds < 2, `${seconds} s`);
  assert.ok(gaps.some((gap) => gap.reason === 'aborted' && gap.name === 'containers'));
});

test('a container that cannot be inspected in time is a gap, does not hold up the others, and is still named', async (t) => {
  if (!needs(t, ...COMPONENTS)) return;
  await withEngine(async (bed) => {
    const stuck = await bed.run('--name', 'stuck', BUSYBOX, 'sleep', '1000');
    const sound = await bed.run('--name', 'sound', BUSYBOX, 'sleep', '1000');
    const meddler = await startMeddler(t, socketPath(), bed.socket, (line) => (line.includes(stuck) ? 'hang' : 'pass'));
    const { value, seconds } = await timed(() => collect(docker, { dockerSockets: [meddler.socket] }));
    const { artefacts, gaps } = value;
    await meddler.stop();
    assert.ok(seconds < 25, `${seconds} s`);
    const what = ['inspect', 'top', 'stats', 'changes', 'logs'].map((call) => `container ${stuck} ${call}`);
    assert.deepEqual(gaps.map((gap) => gap.name).sort(), what.sort());
    assert.ok(gaps.every((gap) => gap.reason === 'timeout'));
    const rows = rowsOf(artefacts.get(`${FOLDER}/containers.jsonl`));
    const listing = (id: string): unknown => rows.find((row) => at(row, 'container', 'id') === id);
    assert.equal(at(listing(stuck), 'impound', 'listing'), 'listed');
    assert.equal(at(listing(stuck), 'container', 'name'), 'stuck');
    assert.equal(at(listing(sound), 'impound', 'listing'), 'inspected');
    assert.equal(rowsOf(artefacts.get(`${FOLDER}/stats.jsonl`)).length, 1);
  });
});

test('containers and images that go between the list and the question are gaps', async (t) => {
  if (!needs(t, ...COMPONENTS)) return;
  await withEngine(async (bed) => {
    const gone = await bed.run(BUSYBOX, 'sleep', '1000');
    const image = await bed.docker('commit', gone, 'short:lived');
    const meddler = await startMeddler(t, socketPath(), bed.socket, async (line) => {
      if (line.includes(`/containers/${gone}/json`)) await bed.docker('rm', '-f', gone);
      if (line.includes(`/images/${image}/json`)) await bed.docker('rmi', image);
      if (line.includes(`/images/${image}/history`)) await new Promise((resolve) => setTimeout(resolve, 1000));
      return 'pass' as const;
    });
    const { artefacts, gaps } = await collect(docker, { dockerSockets: [meddler.socket] });
    await meddler.stop();
    assert.deepEqual(gaps.map(({ reason, name }) => `${reason} ${name}`).sort(), [
      `vanished container ${gone} inspect`,
      `vanished image ${image} history`,
      `vanished image ${image} inspect`,
    ]);
    const [row] = rowsOf(artefacts.get(`${FOLDER}/containers.jsonl`));
    assert.equal(at(row, 'impound', 'listing'), 'vanished');
  });
});

test('a container that processes are in but the engine does not list has a row', async (t) => {
  if (!needs(t, ...COMPONENTS)) return;
  await withEngine(async (bed) => {
    const hidden = await bed.run(BUSYBOX, 'sleep', '1000');
    const meddler = await startMeddler(t, socketPath(), bed.socket, (line) =>
      line.includes('/containers/json') ? httpAnswer('[]') : 'pass',
    );
    const { artefacts } = await collect(docker, { dockerSockets: [meddler.socket] });
    await meddler.stop();
    const row = rowsOf(artefacts.get(`${FOLDER}/containers.jsonl`)).find(
      (one) => at(one, 'container', 'id') === hidden,
    );
    assert.equal(at(row, 'impound', 'listing'), 'unlisted');
    assert.equal((at(row, 'impound', 'processes') as unknown[]).length, 1);
  });
});

test('twenty containers', async (t) => {
  if (!needs(t, ...COMPONENTS)) return;
  await withEngine(async (bed) => {
    const names = Array.from({ length: 20 }, (_, index) => `c${index}`);
    await Promise.all(names.map((name) => bed.run('--name', name, BUSYBOX, 'sh', '-c', 'echo hello; exec sleep 1000')));
    const begun = performance.now();
    const { artefacts, gaps } = await collect(docker, { dockerSockets: [bed.socket] });
    const milliseconds = Math.round(performance.now() - begun);
    t.diagnostic(`twenty containers in ${milliseconds} ms, ${Math.round(process.memoryUsage().rss / 1e6)} MB`);
    assert.deepEqual(gaps, []);
    assert.equal(rowsOf(artefacts.get(`${FOLDER}/stats.jsonl`)).length, 20);
    assert.ok(milliseconds < 10_000);
  });
});
