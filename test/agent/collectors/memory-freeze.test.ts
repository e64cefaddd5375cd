import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { access, mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { memory } from '../../../agent/collectors/memory.ts';
import type { FootprintItem } from '../../../agent/context.ts';
import { type Frozen, freezeContainer, type NotFrozen } from '../../../agent/host/freezer.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { startWalk } from '../../../agent/host/walk.ts';
import type { Gap } from '../../../evidence/index.ts';
import { collect, rowsOf } from '../../helpers/collect.ts';
import { missing, needs } from '../../helpers/component.ts';
import { python } from '../../helpers/programs.ts';
import { BUSYBOX, type Dockerd, startDockerd } from '../../testbed/dockerd.ts';

let bed: Dockerd | undefined;

before(async () => {
  if (missing(['dockerd', 'docker', 'busybox']) === undefined) bed = await startDockerd();
});
after(() => bed?.stop());

interface Container {
  readonly id: string;
  readonly pid: number;
}

async function container(t: TestContext): Promise<Container | undefined> {
  if (!needs(t, 'dockerd', 'docker', 'busybox') || bed === undefined) return undefined;
  const engine = bed;
  const id = await engine.run(BUSYBOX, 'sh', '-c', 'while true; do sleep 1; done');
  t.after(() => engine.docker('rm', '-f', id));
  return { id, pid: Number(await engine.docker('inspect', '--format', '{{.State.Pid}}', id)) };
}

/** The container's freezer: cgroup v1 where this machine has it, v2 otherwise. */
async function controlOf({ pid }: Container): Promise<string> {
  const text = await readFile(`/proc/${pid}/cgroup`, 'utf8');
  const v1 = /^\d+:freezer:(.*)$/m.exec(text)?.[1];
  if (v1 !== undefined && v1 !== '/') return `/sys/fs/cgroup/freezer${v1}/freezer.state`;
  return `/sys/fs/cgroup${/^0::(.*)$/m.exec(text)?.[1]}/cgroup.freeze`;
}

async function isThawed(control: string): Promise<boolean> {
  return /^(?:THAWED|0)\n$/.test(await readFile(control, 'utf8'));
}

async function becomesThawed(control: string, milliseconds: number): Promise<boolean> {
  const until = Date.now() + milliseconds;
  while (Date.now() < until) {
    if (await isThawed(control)) return true;
    await sleep(20);
  }
  return false;
}

interface Frozing {
  readonly result: Frozen | NotFrozen;
  readonly gaps: Gap[];
  readonly footprint: FootprintItem[];
}

async function freeze(pid: number, containerId: string | undefined, seconds?: number): Promise<Frozing> {
  const gaps: Gap[] = [];
  const footprint: FootprintItem[] = [];
  const result = await freezeContainer({
    host: hostAt('/'),
    pid,
    containerId,
    ...(seconds === undefined ? {} : { seconds }),
    gap: (gap) => void gaps.push(gap),
    footprint: (item) => void footprint.push(item),
  });
  return { result, gaps, footprint };
}

function assertFrozen(result: Frozen | NotFrozen): asserts result is Frozen {
  assert.equal(result.kind, 'frozen', JSON.stringify(result));
}

test('a container stands still while its memory is read, and runs again afterwards', async (t) => {
  const suspect = await container(t);
  if (suspect === undefined) return;
  const suspects = [{ kind: 'container', id: suspect.id }] as const;
  const { artefacts, footprint } = await collect(memory, { profile: 'standard', suspects, freeze: true });
  const rows = rowsOf(artefacts.get('40-memory/processes.jsonl')) as {
    impound: { frozen: { atStart: boolean; throughout: boolean; seconds: number }; core?: string };
  }[];
  // a "sleep 1" may end after it was listed and before all stands still: it has a row, and no memory to be read
  const read = rows.filter(({ impound }) => impound.core !== undefined);
  assert.ok(read.length > 0);
  for (const { impound } of read) {
    assert.ok(
      impound.frozen.atStart && impound.frozen.throughout && impound.frozen.seconds > 0,
      JSON.stringify(impound.frozen),
    );
  }
  assert.ok(read.some(({ impound }) => artefacts.get(impound.core ?? '')?.includes('while true; do sleep 1; done')));
  assert.ok(footprint.some(({ name, detail }) => name.includes(suspect.id) && /^frozen for \d/.test(detail ?? '')));
  assert.ok(await isThawed(await controlOf(suspect)));
});

test('profile full reads all that runs in containers, suspects first, and nothing beside them', async (t) => {
  const [one, other] = [await container(t), await container(t)];
  if (one === undefined || other === undefined) return;
  const outside = await python(t, 'import time\nprint("ready", flush=True)\ntime.sleep(100)');
  const pids = [one.pid, other.pid, outside.pid, process.pid, 2];
  const walk = startWalk(hostAt('/'), { raw: false, signal: t.signal, pids });
  const suspects = [{ kind: 'container', id: other.id }] as const;
  const { artefacts } = await collect(memory, { profile: 'full', suspects, walk });
  const rows = rowsOf(artefacts.get('40-memory/processes.jsonl')) as {
    process: { pid: number };
    container: { id: string };
  }[];
  assert.deepEqual(
    rows.map((row) => [row.process.pid, row.container.id]),
    [
      [other.pid, other.id],
      [one.pid, one.id],
    ],
  );
});

test('a capture that is killed leaves no container frozen', async (t) => {
  const suspect = await container(t);
  if (suspect === undefined) return;
  const module = join(import.meta.dirname, '../../../agent/host/freezer.ts');
  const host = join(import.meta.dirname, '../../../agent/host/host.ts');
  const source = `
    const { freezeContainer } = await import(${JSON.stringify(module)});
    const { hostAt } = await import(${JSON.stringify(host)});
    const options = { host: hostAt('/'), pid: ${suspect.pid}, containerId: '${suspect.id}', gap() {}, footprint() {} };
    console.log((await freezeContainer(options)).kind);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  assert.equal(said.toString().trim(), 'frozen');
  const control = await controlOf(suspect);
  assert.equal(await isThawed(control), false);
  child.kill('SIGKILL');
  assert.ok(await becomesThawed(control, 5000));
});

test('a capture that is stopped thaws at once', async (t) => {
  const suspect = await container(t);
  if (suspect === undefined) return;
  const stopping = new AbortController();
  const suspects = [{ kind: 'container', id: suspect.id }] as const;
  const footprint: FootprintItem[] = [];
  await collect(memory, {
    profile: 'standard',
    suspects,
    freeze: true,
    signal: stopping.signal,
    footprint: (item) => {
      footprint.push(item);
      if (item.detail?.startsWith('thaws ') === true) stopping.abort();
    },
  });
  assert.ok(footprint.some(({ detail }) => detail?.startsWith('frozen for ') === true));
  assert.ok(await isThawed(await controlOf(suspect)));
});

test('the deadline thaws, and is a gap; so does the end of the watchdog', async (t) => {
  const suspect = await container(t);
  if (suspect === undefined) return;
  const control = await controlOf(suspect);
  const late = await freeze(suspect.pid, suspect.id, 0.3);
  assertFrozen(late.result);
  assert.ok(late.result.isFrozen());
  assert.ok(await becomesThawed(control, 3000));
  assert.equal(late.result.isFrozen(), false);
  await late.result.thaw();
  assert.deepEqual(
    late.gaps.map(({ reason }) => reason),
    ['timeout'],
  );

  const alone = await freeze(suspect.pid, suspect.id);
  assertFrozen(alone.result);
  const watchdog = Number(alone.footprint.find(({ kind }) => kind === 'process')?.name.replace('pid ', ''));
  process.kill(watchdog, 'SIGKILL');
  assert.ok(await becomesThawed(control, 3000));
});

test('what was frozen before stays frozen', async (t) => {
  const suspect = await container(t);
  if (suspect === undefined || bed === undefined) return;
  await bed.docker('pause', suspect.id);
  const { result } = await freeze(suspect.pid, suspect.id);
  assertFrozen(result);
  assert.ok(result.isFrozen());
  await result.thaw();
  assert.equal(await isThawed(await controlOf(suspect)), false);
  await bed.docker('unpause', suspect.id);
  assert.equal(result.isFrozen(), false);
});

test('a process in no container is not frozen', async () => {
  const { result } = await freeze(process.pid, undefined);
  assert.equal(result.kind, 'refused');
});

/** A cgroup named like a container's, in the hierarchy of cgroup v2, with `child` in it. */
async function unified(t: TestContext, child: ChildProcess): Promise<{ id: string; folder: string } | undefined> {
  const roots = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'];
  for (const root of roots) {
    const there = await access(`${root}/cgroup.procs`).then(
      () => true,
      () => false,
    );
    if (!there) continue;
    const id = randomBytes(32).toString('hex');
    const folder = `${root}/cri-containerd-${id}.scope`;
    await mkdir(folder);
    t.after(async () => {
      await writeFile(`${folder}/cgroup.freeze`, '0').catch(() => undefined);
      child.kill('SIGKILL');
      for (let tries = 0; tries < 100; tries++) {
        const gone = await rmdir(folder).then(
          () => true,
          () => false,
        );
        if (gone) return;
        await sleep(20);
      }
    });
    await writeFile(`${folder}/cgroup.procs`, String(child.pid));
    return { id, folder };
  }
  t.skip('no cgroup v2 here');
  return undefined;
}

test('cgroup v2 freezes and thaws likewise', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('needs root');
  const { child, pid } = await python(t, 'import time\nprint("ready", flush=True)\ntime.sleep(100)');
  const cgroup = await unified(t, child);
  if (cgroup === undefined) return;
  const { result, footprint } = await freeze(pid, cgroup.id);
  assertFrozen(result);
  assert.ok(result.isFrozen());
  assert.match(await readFile(`${cgroup.folder}/cgroup.events`, 'utf8'), /^frozen 1$/m);
  await result.thaw();
  assert.match(await readFile(`${cgroup.folder}/cgroup.events`, 'utf8'), /^frozen 0$/m);
  assert.match(footprint.at(-1)?.detail ?? '', /cgroup v2/);
});

test('our own cgroup is never frozen', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('needs root');
  const module = join(import.meta.dirname, '../../../agent/host/freezer.ts');
  const host = join(import.meta.dirname, '../../../agent/host/host.ts');
  const source = `
    const { freezeContainer } = await import(${JSON.stringify(module)});
    const { hostAt } = await import(${JSON.stringify(host)});
    const [id] = await new Promise((resolve) => process.stdin.once('data', (said) => resolve(String(said).split('\\n'))));
    const options = { host: hostAt('/'), pid: process.pid, containerId: id, gap() {}, footprint() {} };
    console.log(JSON.stringify(await freezeContainer(options)));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['pipe', 'pipe', 'inherit'] });
  const cgroup = await unified(t, child);
  if (cgroup === undefined) return;
  child.stdin.write(`${cgroup.id}\n`);
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  assert.match(said.toString(), /we are in its cgroup ourselves/);
});
