// The Docker collector against a real engine with containers in every state.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { docker } from '../../../agent/collectors/docker.ts';
import { at } from '../../../agent/runtime/json.ts';
import { type Collected, collect, rowsOf } from '../../helpers/collect.ts';
import { missing, needs } from '../../helpers/component.ts';
import { BUSYBOX, type Dockerd, startDockerd } from '../../testbed/dockerd.ts';

const COMPONENTS = ['dockerd', 'docker', 'busybox'] as const;
const FOLDER = '30-container/docker';

let bed: Dockerd | undefined;
let collected: Collected | undefined;
const ids: Record<string, string> = {};

before(async () => {
  if (missing(COMPONENTS) !== undefined) return;
  bed = await startDockerd();
  const { run, docker: client } = bed;
  const running = 'echo out; echo err >&2; touch /tmp/new; echo x >>/etc/passwd; rm /bin/zcat; exec sleep 1000';
  const loud = 'i=0; while [ $i -lt 30000 ]; do echo "line $i"; i=$((i+1)); done';
  const long = `printf 'a\\000\\377b\\n'; head -c 100000 /dev/zero | tr '\\0' x; echo; head -c 6000000 /dev/zero | tr '\\0' y; echo end`;
  await client('volume', 'create', 'evidence');
  ids.running = await run(
    '--name',
    'web',
    '-l',
    'team=ir',
    '-e',
    'SECRET=hunter2',
    '-v',
    'evidence:/e',
    BUSYBOX,
    'sh',
    '-c',
    running,
  );
  ids.exited = await run('--name', 'exited', BUSYBOX, 'sh', '-c', 'echo bye; exit 7');
  ids.created = await client('create', '--network', 'none', '--name', 'made', BUSYBOX, 'true');
  ids.paused = await run('--name', 'paused', BUSYBOX, 'sleep', '1000');
  ids.busy = await run('--name', 'busy', '--pid', 'host', BUSYBOX, 'sh', '-c', 'while :; do :; done');
  // not started: a machine whose own capabilities are bounded cannot give them all
  ids.privileged = await client('create', '--network', 'none', '--name', 'boss', '--privileged', BUSYBOX, 'true');
  ids.tty = await run('--name', 'tty', '-t', BUSYBOX, 'sh', '-c', 'echo shown; exec sleep 1000');
  ids.loud = await run('--name', 'loud', BUSYBOX, 'sh', '-c', loud);
  ids.long = await run('--name', 'long', BUSYBOX, 'sh', '-c', long);
  ids.mute = await run('--name', 'mute', '--log-driver', 'none', BUSYBOX, 'echo', 'unheard');
  await client('pause', 'paused');
  await client('wait', 'exited', 'loud', 'long', 'mute');
  const suspects = [{ kind: 'container', id: (ids.created ?? '').slice(0, 12) }] as const;
  collected = await collect(docker, { dockerSockets: ['/nonexistent/docker.sock', bed.socket], suspects });
});
after(() => bed?.stop());

/** What was collected, or undefined where the test is skipped. */
function given(t: TestContext): Collected | undefined {
  return needs(t, ...COMPONENTS) ? collected : undefined;
}

function table(from: Collected, name: string): Record<string, unknown>[] {
  return rowsOf(from.artefacts.get(`${FOLDER}/${name}.jsonl`));
}

function rowOf(from: Collected, name: string, id: string | undefined): Record<string, unknown> {
  const row = table(from, name).find((candidate) => at(candidate, 'container', 'id') === id);
  assert.ok(row, `${name} has no row of ${id}`);
  return row;
}

/** The archive's files by name, read by the system's own tar. */
function files(from: Collected, name: string): Map<string, Buffer> {
  const folder = mkdtempSync(join(tmpdir(), 'impound-test-'));
  try {
    const archive = join(folder, 'archive.tar');
    writeFileSync(archive, from.artefacts.get(`${FOLDER}/${name}.tar.zst`) ?? '');
    execFileSync('tar', ['-C', folder, '-xf', archive]);
    rmSync(archive);
    const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    return new Map(
      entries.map((entry) => {
        const path = join(entry.parentPath, entry.name);
        return [path.slice(folder.length + 1), readFileSync(path)];
      }),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('every container has a row, whatever its state, suspects first', (t) => {
  const all = given(t);
  if (all === undefined) return;
  const rows = table(all, 'containers').filter((row) => at(row, 'impound', 'listing') === 'inspected');
  assert.deepEqual(new Set(rows.map((row) => at(row, 'container', 'id'))), new Set(Object.values(ids)));
  assert.equal(at(rows[0], 'container', 'id'), ids.created);
  const status = (name: string): unknown => at(rowOf(all, 'containers', ids[name]), 'docker', 'state', 'status');
  assert.deepEqual(['running', 'exited', 'created', 'paused'].map(status), ['running', 'exited', 'created', 'paused']);
  assert.equal(at(rowOf(all, 'containers', ids.exited), 'docker', 'state', 'exitCode'), 7);
});

test('a row says what the container may do, with ECS names where there are some', (t) => {
  const all = given(t);
  if (all === undefined) return;
  const web = rowOf(all, 'containers', ids.running);
  assert.equal(at(web, 'container', 'name'), 'web');
  assert.equal(at(web, 'container', 'image', 'name'), BUSYBOX);
  assert.equal(at(web, 'container', 'runtime'), 'docker');
  assert.deepEqual(at(web, 'container', 'labels'), { team: 'ir' });
  assert.ok((at(web, 'docker', 'env') as string[]).includes('SECRET=hunter2'));
  const [mount] = at(web, 'docker', 'mounts') as unknown[];
  assert.equal(at(mount, 'Name'), 'evidence');
  assert.match(String(at(web, 'docker', 'graphDriver', 'data', 'UpperDir')), /\/diff$/);
  const boss = rowOf(all, 'containers', ids.privileged);
  assert.equal(at(boss, 'container', 'security_context', 'privileged'), true);
  assert.equal(at(rowOf(all, 'containers', ids.busy), 'docker', 'pidMode'), 'host');
});

test('processes of the node are joined to their container', (t) => {
  const all = given(t);
  if (all === undefined) return;
  const web = rowOf(all, 'containers', ids.running);
  const pid = at(web, 'docker', 'state', 'pid');
  const processes = at(web, 'impound', 'processes') as unknown[];
  assert.deepEqual(
    processes.map((process) => at(process, 'pid')),
    [pid],
  );
  assert.match(String(at(processes[0], 'startTicks')), /^\d+$/);
});

test('processes and a sample with CPU and memory are there for what runs, paused or not', (t) => {
  const all = given(t);
  if (all === undefined) return;
  const commands = table(all, 'top').filter((row) => at(row, 'container', 'id') === ids.running);
  assert.deepEqual(
    commands.map((row) => at(row, 'process', 'command_line')),
    ['sleep 1000'],
  );
  assert.equal(at(commands[0], 'process', 'pid'), at(rowOf(all, 'containers', ids.running), 'docker', 'state', 'pid'));
  const busy = rowOf(all, 'stats', ids.busy);
  const cpu = at(busy, 'container', 'cpu', 'usage') as number;
  assert.ok(cpu > 0.05 && cpu <= 1.05, `cpu ${cpu}`);
  assert.ok((at(busy, 'docker', 'memoryBytes') as number) > 0);
  assert.ok((at(busy, 'container', 'memory', 'usage') as number) > 0);
  rowOf(all, 'stats', ids.paused);
  assert.throws(() => rowOf(all, 'stats', ids.exited));
});

test('files added, changed and deleted in a container are told apart', (t) => {
  const all = given(t);
  if (all === undefined) return;
  const own = table(all, 'changes').filter((row) => at(row, 'container', 'id') === ids.running);
  const changes = new Map(own.map((row) => [at(row, 'file', 'path'), at(row, 'docker', 'change')]));
  assert.equal(changes.get('/tmp/new'), 'added');
  assert.equal(changes.get('/etc/passwd'), 'modified');
  assert.equal(changes.get('/bin/zcat'), 'deleted');
});

test('images with history, networks, volumes and events have their tables', (t) => {
  const all = given(t);
  if (all === undefined) return;
  const image = table(all, 'images').find((row) => at(row, 'container', 'image', 'name') === BUSYBOX);
  assert.equal((at(image, 'docker', 'history') as unknown[]).length, 1);
  const none = table(all, 'networks').find((row) => at(row, 'network', 'name') === 'none');
  assert.ok(Object.hasOwn(at(none, 'docker', 'network', 'Containers') as object, ids.running ?? ''));
  assert.deepEqual(
    table(all, 'volumes').map((row) => at(row, 'docker', 'volume', 'Name')),
    ['evidence'],
  );
  const actions = table(all, 'events').filter((row) => at(row, 'container', 'id') === ids.exited);
  assert.deepEqual(
    actions.map((row) => at(row, 'event', 'action')).filter((action) => action !== 'attach'),
    ['create', 'start', 'die'],
  );
  const engine: unknown = JSON.parse(all.artefacts.get(`${FOLDER}/engine.json`)?.toString() ?? '');
  assert.equal(at(engine, 'info', 'Containers'), Object.keys(ids).length);
  assert.equal(typeof at(engine, 'version', 'ApiVersion'), 'string');
});

test("the collector's own questions are not among the events it stores", (t) => {
  const all = given(t);
  if (all === undefined) return;
  assert.ok(!table(all, 'events').some((row) => String(at(row, 'event', 'action')).startsWith('top')));
  assert.ok(all.footprint.some((item) => item.kind === 'program' && item.name === 'ps'));
  assert.ok(all.footprint.some((item) => item.kind === 'connection' && item.name === `unix://${bed?.socket}`));
});

test('logs keep their bytes, streams and time stamps', (t) => {
  const all = given(t);
  if (all === undefined) return;
  const logs = files(all, 'logs');
  const text = (name: string): string => logs.get(name)?.toString('latin1') ?? '';
  assert.match(text(`${ids.running}/stdout.log`), /^\d{4}-\d\d-\d\dT[\d:.]+Z out\n$/);
  assert.match(text(`${ids.running}/stderr.log`), /^\d{4}-\d\d-\d\dT[\d:.]+Z err\n$/);
  assert.match(text(`${ids.tty}/tty.log`), /^\d{4}-\d\d-\d\dT[\d:.]+Z shown\r\n$/);
  assert.match(text(`${ids.exited}/stdout.log`), / bye\n$/);
  assert.ok(!logs.has(`${ids.created}/stdout.log`));
});

test('a log beyond its bounds keeps its newest part and says what is missing', (t) => {
  const all = given(t);
  if (all === undefined) return;
  const logs = files(all, 'logs');
  const loud = logs.get(`${ids.loud}/stdout.log`)?.toString() ?? '';
  assert.match(loud, /line 29999\n$/);
  assert.equal(loud.split('\n').length - 1, 20_000);
  const long = logs.get(`${ids.long}/stdout.log`) ?? Buffer.alloc(0);
  assert.ok(long.length > 3_500_000 && long.length <= 4 * 1_048_576, `${long.length} bytes`);
  assert.match(long.subarray(-10).toString(), /yend\n$/);
  const truncated = all.gaps.filter((gap) => gap.reason === 'truncated');
  assert.deepEqual(
    truncated.map((gap) => gap.name).sort(),
    [`container ${ids.long} logs`, `container ${ids.loud} logs`].sort(),
  );
  assert.match(truncated.find((gap) => gap.name.includes(String(ids.loud)))?.detail ?? '', /only the last 20000 lines/);
  assert.match(
    truncated.find((gap) => gap.name.includes(String(ids.long)))?.detail ?? '',
    /\d+ older bytes .* left out/,
  );
});

test('a log that the driver does not keep is a gap of its own, and the only other one', (t) => {
  const all = given(t);
  if (all === undefined) return;
  const others = all.gaps.filter((gap) => gap.reason !== 'truncated');
  assert.deepEqual(
    others.map(({ reason, name }) => ({ reason, name })),
    [{ reason: 'unsupported', name: `container ${ids.mute} logs` }],
  );
});

test('every raw answer is in the archive, with all its bytes', (t) => {
  const all = given(t);
  if (all === undefined) return;
  const raw = files(all, 'raw');
  for (const answer of ['inspect', 'top', 'stats', 'changes']) {
    JSON.parse(raw.get(`containers/${ids.running}/${answer}.json`)?.toString() ?? '');
  }
  for (const name of ['version', 'info', 'containers', 'images', 'networks', 'volumes']) {
    JSON.parse(raw.get(`${name}.json`)?.toString() ?? '');
  }
  assert.ok([...raw.keys()].some((name) => /^images\/[0-9a-f]{64}\/history\.json$/.test(name)));
  // numbers beyond a double's 53 bits survive in the raw answer
  assert.match(raw.get('events.jsonl')?.toString() ?? '', /"timeNano":\d{19}/);
});
