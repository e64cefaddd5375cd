import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { binaries } from '../../../agent/collectors/binaries.ts';
import { layers } from '../../../agent/collectors/layers.ts';
import type { NodeContext } from '../../../agent/context.ts';
import { collect, rowsOf } from '../../helpers/collect.ts';
import { missing } from '../../helpers/component.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';
import { BUSYBOX, type Dockerd, startDockerd } from '../../testbed/dockerd.ts';

const skip = missing(['dockerd', 'docker', 'busybox']);
if (skip !== undefined && process.env.CI === 'true') throw new Error(skip);
const IMAGE = 'drift:test';

/** An image with a set-id program that is to be, a folder, and a file. */
const PREPARE = `cp /bin/busybox /bin/helper; chmod 755 /bin/helper; mkdir -p /srv/data/old; echo kept > /srv/data/old/a;
echo one > /etc/conf; echo gone > /etc/gone; mkdir /opt; echo x > /opt/x`;
const INTRUDE = `echo two >> /etc/conf; rm /etc/gone; chmod 4755 /bin/helper; rm -r /srv/data; mkdir /srv/data; echo new > /srv/data/b;
cp /bin/busybox /tmp/implant; echo "only here" >> /tmp/implant; chmod 755 /tmp/implant; ln -s /etc/shadow /tmp/link; mkfifo /tmp/pipe;
touch "/tmp/a
b"`;

interface Row {
  readonly file: Readonly<Record<string, unknown>> & {
    readonly path: string;
    readonly hash?: { readonly sha256: string };
  };
  readonly container: { readonly id: string; readonly name?: string };
  readonly impound: Readonly<Record<string, unknown>>;
}

let bed: Dockerd;
let running: string;
let stopped: string;

before(async () => {
  if (skip !== undefined) return;
  bed = await startDockerd();
  const made = await bed.docker('run', '-d', '--network', 'none', BUSYBOX, '/bin/sh', '-c', PREPARE);
  await bed.docker('wait', made);
  await bed.docker('commit', made, IMAGE);
  await bed.docker('rm', made);
  stopped = await bed.run('--name', 'stopped', IMAGE, '/bin/sh', '-c', 'echo left > /left');
  await bed.docker('wait', stopped);
  running = await bed.run('--name', 'victim', IMAGE, '/bin/sh', '-c', `${INTRUDE}\nexec -a sleep /tmp/implant 1000`);
  await bed.docker('exec', running, '/bin/sh', '-c', 'until [ -e "/tmp/a\nb" ]; do sleep 0.1; done; sleep 0.3');
});

after(() => bed?.stop());

function gather(overrides: Partial<NodeContext> = {}): ReturnType<typeof collect> {
  return collect(layers, {
    profile: 'standard',
    dockerSockets: [bed.socket],
    criSockets: [],
    containerdSockets: [],
    ...overrides,
  });
}

function drift(artefacts: ReadonlyMap<string, Buffer>): readonly Row[] {
  return rowsOf(artefacts.get('30-container/layers/drift.jsonl')) as unknown as readonly Row[];
}

test('every change of a container against its image is told, with the running implant', {
  skip: skip ?? false,
}, async () => {
  const { artefacts, gaps } = await gather();
  assert.deepEqual(gaps, []);
  const rows = drift(artefacts).filter(({ container }) => container.id === running);
  const changes = Object.fromEntries(rows.map(({ file, impound }) => [file.path, impound.change]));
  assert.deepEqual(changes, {
    '/bin': 'metadata',
    '/bin/helper': 'changed',
    '/etc': 'metadata',
    '/etc/conf': 'changed',
    '/etc/gone': 'deleted',
    '/srv': 'metadata',
    '/srv/data': 'opaque',
    '/srv/data/b': 'added',
    '/tmp': 'metadata',
    '/tmp/a\nb': 'added',
    '/tmp/implant': 'added',
    '/tmp/link': 'added',
    '/tmp/pipe': 'added',
  });
  const at = (path: string): Row => {
    const found = rows.find(({ file }) => file.path === path);
    assert.ok(found, path);
    return found;
  };
  const helper = at('/bin/helper').impound;
  assert.equal(helper.setuid, true);
  assert.equal(helper.setIdChanged, true);
  assert.equal((helper.lower as { mode: string }).mode, '0755');
  const implant = at('/tmp/implant');
  const pid = Number(await bed.docker('inspect', '-f', '{{.State.Pid}}', running));
  assert.deepEqual([implant.impound.executed, implant.impound.pids, implant.impound.executable], [true, [pid], true]);
  const digest = createHash('sha256')
    .update(await readFile(`/proc/${pid}/exe`))
    .digest('hex');
  assert.equal(implant.file.hash?.sha256, digest);
  assert.equal(implant.container.name, 'victim');
  // and the program itself is recovered from its process too
  const recovered = rowsOf((await collect(binaries)).artefacts.get('10-process/binaries.jsonl'));
  assert.ok(recovered.some(({ file }) => (file as { hash?: { sha256: string } }).hash?.sha256 === digest));
  assert.equal(at('/tmp/link').file.target_path, '/etc/shadow');
  const left = drift(artefacts).find(({ container, file }) => container.id === stopped && file.path === '/left');
  assert.equal(left?.impound.change, 'added');
});

test('the archive is the upper directory: whiteouts, opaque marks and set-id bits', {
  skip: skip ?? false,
}, async (t) => {
  const { artefacts } = await gather();
  const folder = await temporaryFolder(t);
  const tar = join(folder, 'layer.tar');
  await writeFile(tar, artefacts.get(`30-container/layers/${running}.tar.zst`) ?? '');
  const listed = execFileSync('tar', ['-tvf', tar]).toString();
  assert.match(listed, /^c[rwx-]{9} 0\/0 +0,0 .* etc\/gone$/m);
  assert.match(listed, /^-rwsr-xr-x .* bin\/helper$/m);
  const out = join(folder, 'out');
  await mkdir(out);
  execFileSync('tar', ['-C', out, '--xattrs', '--xattrs-include=*', '-xf', tar]);
  const opaque = execFileSync('getfattr', ['-n', 'trusted.overlay.opaque', '--only-values', 'srv/data'], { cwd: out });
  assert.equal(opaque.toString(), 'y');
  const manifest = (await readFile(join(out, 'MANIFEST.jsonl'), 'utf8')).split('\n').slice(0, -1);
  const data = manifest.map((line) => JSON.parse(line)).find(({ path }) => path === 'srv/data');
  assert.equal(data.xattrs['trusted.overlay.opaque'], Buffer.from('y').toString('base64'));
});

test('with a suspect only its layer is taken, and the others are declared', { skip: skip ?? false }, async () => {
  const { artefacts, gaps } = await gather({ suspects: [{ kind: 'container', id: 'victim' }] });
  assert.deepEqual(
    [...artefacts.keys()].sort(),
    [`30-container/layers/${running}.tar.zst`, '30-container/layers/drift.jsonl'].sort(),
  );
  assert.deepEqual(
    gaps.map(({ reason, name }) => [reason, name]),
    [['skipped', 'upper directories of 1 containers']],
  );
});

test('in profile full the suspect comes first and the others follow', { skip: skip ?? false }, async () => {
  const { artefacts } = await gather({ profile: 'full', suspects: [{ kind: 'container', id: stopped }] });
  assert.deepEqual(
    [...artefacts.keys()].filter((path) => path.endsWith('.zst')),
    [`30-container/layers/${stopped}.tar.zst`, `30-container/layers/${running}.tar.zst`],
  );
});

test('a machine without containers has none', async () => {
  const { artefacts, gaps } = await collect(layers, { dockerSockets: [], criSockets: [], containerdSockets: [] });
  assert.equal(artefacts.size, 0);
  assert.deepEqual(gaps, [{ reason: 'absent', name: 'containers' }]);
});

test('a capture that is stopped ends at once', { skip: skip ?? false }, async () => {
  const { artefacts } = await gather({ signal: AbortSignal.abort() });
  assert.ok([...artefacts.keys()].every((path) => path === '30-container/layers/drift.jsonl'));
});
