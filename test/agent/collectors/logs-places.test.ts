import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, readdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { membersOf } from '../../../agent/collectors/files/member.ts';
import { logs } from '../../../agent/collectors/logs.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { readMounts } from '../../../agent/host/mounts.ts';
import { type Gap, tarArchive } from '../../../evidence/index.ts';
import { unpacked } from '../../helpers/archive.ts';
import { collect, rowsOf } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

const JOURNAL_REMOTE = '/lib/systemd/systemd-journal-remote';

/** A program that the kernel calls `name`, with these arguments, for as long as the test lasts. */
async function called(t: TestContext, name: string, args: readonly string[], before: readonly string[] = []) {
  const program = join(await temporaryFolder(t), name);
  await copyFile(await realpath('/usr/bin/python3'), program);
  const source = 'import sys\nprint("ready", flush=True)\nsys.stdin.read()';
  const [first = program, ...rest] = [...before, program, '-c', source, ...args];
  const child = spawn(first, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
}

async function paths(root: string): Promise<readonly string[]> {
  const { artefacts } = await collect(logs, { host: hostAt(root, { proc: '/proc', sys: '/sys' }) });
  const table = artefacts.get('70-log/files.jsonl') ?? Buffer.alloc(0);
  return rowsOf(table).map((row) => (row as { file: { path: string } }).file.path);
}

test("an API server's audit log is found where its command line says, rotated ones too", async (t) => {
  const root = await temporaryFolder(t);
  await mkdir(join(root, 'srv/audit'), { recursive: true });
  for (const name of ['k8s.log', 'k8s-2024-05-01T10-00-00.000.log', 'other'])
    await writeFile(join(root, 'srv/audit', name), '{"kind":"Event"}\n');
  await called(t, 'kube-apiserver', [`--audit-log-path=${root}/srv/audit/k8s.log`, '--audit-log-maxage', '3']);
  const found = await paths(root);
  assert.ok(found.includes('/srv/audit/k8s.log'));
  assert.ok(found.includes('/srv/audit/k8s-2024-05-01T10-00-00.000.log'));
  assert.ok(!found.includes('/srv/audit/other'));
});

test("an audit log's path inside an API server's container is found on the host", async (t) => {
  const root = await temporaryFolder(t);
  const inside = await temporaryFolder(t);
  await mkdir(join(root, 'srv/audit'), { recursive: true });
  await writeFile(join(root, 'srv/audit/k8s.log'), '{"kind":"Event"}\n');
  // bound in a mount namespace of its own: it goes with the process
  const script = 'mount --bind "$1" "$2"; shift 2; exec "$@"';
  const before = ['unshare', '-m', 'sh', '-c', script, 'sh', join(root, 'srv/audit'), inside];
  await called(t, 'kube-apiserver', [`--audit-log-path=${inside}/k8s.log`], before);
  assert.ok((await paths(root)).includes('/srv/audit/k8s.log'));
});

test("a kubelet's configuration says where its pods' logs are", async (t) => {
  const root = await temporaryFolder(t);
  await mkdir(join(root, 'srv/pods/ns_pod_uid/main'), { recursive: true });
  await writeFile(join(root, 'srv/pods/ns_pod_uid/main/0.log'), 'line\n');
  await writeFile(join(root, 'kubelet.yaml'), `kind: KubeletConfiguration\npodLogsDir: "${root}/srv/pods/"\n`);
  await called(t, 'kubelet', ['--config', join(root, 'kubelet.yaml')]);
  assert.ok((await paths(root)).includes('/srv/pods/ns_pod_uid/main/0.log'));
});

test("a command line cannot make us take all of the host's files", async (t) => {
  const root = await temporaryFolder(t);
  await mkdir(join(root, 'x'));
  for (const name of ['secret', 'x/file']) await writeFile(join(root, name), 'x');
  await called(t, 'kube-apiserver', [`--audit-log-path=${root}/**`, '--log-dir=/', `--log-file=${root}/x/../secret`]);
  assert.deepEqual(await paths(root), []);
});

test("journal files are the node's byte for byte, and journalctl reads them", async (t) => {
  if (!needs(t, 'systemd-journal-remote')) return;
  const root = await temporaryFolder(t);
  const folder = join(root, 'var/log/journal/0123456789abcdef0123456789abcdef');
  await mkdir(folder, { recursive: true });
  const entries = Array.from({ length: 500 }, (_, index) =>
    [
      `__REALTIME_TIMESTAMP=${1_700_000_000_000_000 + index * 1000}`,
      `__MONOTONIC_TIMESTAMP=${1000 + index}`,
      '_BOOT_ID=0123456789abcdef0123456789abcdef',
      '_MACHINE_ID=0123456789abcdef0123456789abcdef',
      'SYSLOG_IDENTIFIER=sshd',
      `MESSAGE=Accepted publickey for root from 198.51.100.${index % 250}`,
      '',
    ].join('\n'),
  );
  execFileSync(JOURNAL_REMOTE, ['-o', join(folder, 'system.journal'), '-'], {
    input: `${entries.join('\n')}\n`,
    stdio: 'pipe',
  });
  const { artefacts } = await collect(logs, { host: hostAt(root, { proc: '/proc', sys: '/sys' }) });
  const out = await unpacked(t, artefacts.get('70-log/journal.tar.zst'));
  const kept = join(out, 'var/log/journal/0123456789abcdef0123456789abcdef/system.journal');
  assert.ok((await readFile(kept)).equals(await readFile(join(folder, 'system.journal'))));
  const printed = execFileSync('journalctl', ['--file', kept, '-o', 'cat', '-q', '--no-pager']).toString();
  assert.equal(printed.trim().split('\n').length, 500);
});

test('of a log over its bound the last bytes are kept, from a whole record on; of a packed one the first', async (t) => {
  const root = await temporaryFolder(t);
  const content = Buffer.from(Array.from({ length: 20_000 }, (_, index) => index % 251));
  for (const name of ['btmp', 'old.gz']) await writeFile(join(root, name), content);
  const gaps: Gap[] = [];
  const budget = { left: 1_000_000 };
  const options = {
    root: { path: root, mounts: readMounts() },
    gap: (found: Gap) => void gaps.push(found),
    budget,
    recorded: async () => undefined,
  };
  const group = { what: 'logins', paths: [], fileBytes: 8000, keep: 'last', record: 384 } as const;
  const members = (await readdir(root)).sort().flatMap((name) => {
    const found = { group, path: Buffer.from(name), kind: 'file', size: 0, mtime: 0n, identity: '' } as const;
    return membersOf(found, options);
  });
  const chunks: Uint8Array[] = [];
  for await (const chunk of tarArchive(members)) chunks.push(chunk);
  const out = await unpacked(t, Buffer.concat(chunks));
  const kept = await readFile(join(out, 'btmp'));
  assert.ok(kept.equals(content.subarray(content.length - kept.length)));
  assert.equal((content.length - kept.length) % 384, 0);
  assert.ok(kept.length <= 8000 + 384 && kept.length > 7000);
  assert.ok((await readFile(join(out, 'old.gz'))).equals(content.subarray(0, 8000)));
  const details = gaps.filter(({ reason }) => reason === 'truncated').map(({ detail }) => detail);
  assert.deepEqual(details, ['larger than 8000 bytes; the last bytes were kept', 'larger than 8000 bytes']);
  // both were listed as other files than these: rotated meanwhile, and taken as they are now
  assert.equal(gaps.filter(({ reason }) => reason === 'vanished').length, 2);
});
