// What a capture does to the node it captures, seen by strace(1) and by the files themselves, is what footprint.json says.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { FootprintItem } from '../../agent/index.ts';
import { cliCommand } from '../helpers/cli.ts';
import { needs } from '../helpers/component.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const execute = promisify(execFile);
const WATCHED = [
  ...['execve', 'execveat', 'open', 'openat', 'openat2', 'creat', 'mkdir', 'mkdirat', 'unlink', 'unlinkat', 'rmdir'],
  ...['rename', 'renameat', 'renameat2', 'link', 'linkat', 'symlink', 'symlinkat', 'truncate', 'chmod', 'fchmodat'],
  ...[
    'chown',
    'lchown',
    'fchownat',
    'mknod',
    'mknodat',
    'utimensat',
    'setxattr',
    'mount',
    'umount2',
    'connect',
    'kill',
  ],
];
const COLLECTORS = nodeCollectorsOf('processes', 'sockets', 'binaries', 'persistence', 'logs', 'firewall', 'host');

test('a capture starts, writes, and asks nothing but what its footprint says', async (t) => {
  if (!needs(t, 'strace')) return;
  const home = await temporaryFolder(t);
  const log = join(home, 'strace');
  const store = join(home, 'store');
  const [program, ...words] = cliCommand(['capture', '--local', '--quiet', '--store', store, ...COLLECTORS]);
  const follow = ['--follow-forks', '--seccomp-bpf', '-qq', '--signal=none', '--string-limit=4096'];
  const { stdout } = await execute(
    'strace',
    [...follow, `--trace=${WATCHED.join(',')}`, `--output=${log}`, program ?? '', ...words],
    { env: { ...process.env, XDG_CONFIG_HOME: home, NO_COLOR: '1' }, maxBuffer: 64 * 1024 * 1024, timeout: 180_000 },
  );
  const bundle = stdout.trimEnd().split('\n').at(-1) ?? '';
  const items = JSON.parse(await readFile(join(bundle, 'data/00-meta/footprint.json'), 'utf8')) as FootprintItem[];
  const names = (kind: FootprintItem['kind']): string[] =>
    items.filter((item) => item.kind === kind).map(({ name }) => name);
  const calls = (await readFile(log, 'utf8')).split('\n').filter((line) => line !== '');

  const started = calls.flatMap((line) => /execve(?:at)?\((?:AT_FDCWD, )?"([^"]+)".* = 0$/.exec(line)?.[1] ?? []);
  const known = new Set([program, process.execPath, ...names('program')]);
  assert.deepEqual(
    [...new Set(started)].filter((path) => !known.has(path)),
    [],
    'programs',
  );
  assert.ok(names('process').length >= 1);

  const folders = names('write');
  const own = (path: string): boolean => folders.some((folder) => path === folder || path.startsWith(folder));
  const changing = calls.filter((line) => !/ (?:execve|execveat|connect|kill)\(/.test(line) && isChange(line));
  const elsewhere = changing.filter((line) => {
    const paths = [...line.matchAll(/"([^"]*)"/g)].map(([, path = '']) => path);
    return !paths.every(
      (path) => own(path) || home.startsWith(path) || path === join(home, 'impound') || path === '/dev/null',
    );
  });
  assert.deepEqual(elsewhere, [], 'writes');

  const asked = calls.flatMap((line) => /connect\(.*sun_path="([^"]+)"/.exec(line)?.[1] ?? []);
  const connections = names('connection').map((name) => name.replace('unix://', ''));
  assert.deepEqual(
    [...new Set(asked)].filter((path) => !connections.includes(path)),
    [],
    'connections',
  );
});

test('no access time of a file changes', async (t) => {
  const home = await temporaryFolder(t);
  const planted = '/etc/cron.d/impound-test';
  await writeFile(planted, '# planted by a test\n');
  t.after(() => execute('rm', ['-f', planted]));
  // an access time older than the last change is one that the next access moves, whatever the mount's options
  await utimes(planted, 1_000_000_000, Date.now() / 1000);
  const before = await stat(planted, { bigint: true });
  const [program = '', ...words] = cliCommand([
    ...['capture', '--local', '--quiet', '--store', join(home, 'store'), '--collector', 'persistence'],
  ]);
  const { stdout } = await execute(program, words, { env: { ...process.env, XDG_CONFIG_HOME: home } });
  const bundle = stdout.trimEnd().split('\n').at(-1) ?? '';
  const rows = await readFile(join(bundle, 'data/60-file/persistence.jsonl'), 'utf8');
  assert.match(rows, /impound-test/);
  const after = await stat(planted, { bigint: true });
  assert.equal(after.atimeNs, before.atimeNs);
  assert.equal(after.ctimeNs, before.ctimeNs);
});

/** Opened to be written or made, or any other call that was listed; what failed changed nothing. */
function isChange(line: string): boolean {
  if (/ = -1 E/.test(line) || / resumed>/.test(line)) return false;
  if (/ (?:open|openat|openat2)\(/.test(line)) return /O_WRONLY|O_RDWR|O_CREAT|O_TRUNC/.test(line);
  return true;
}

function nodeCollectorsOf(...names: readonly string[]): readonly string[] {
  return names.flatMap((name) => ['--collector', name]);
}
