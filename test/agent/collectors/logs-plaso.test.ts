// What the logs collector takes is what plaso's parsers read.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { logs } from '../../../agent/collectors/logs.ts';
import { hostAt } from '../../../agent/host/host.ts';
import { unpacked } from '../../helpers/archive.ts';
import { collect } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { folderWith, temporaryFolder } from '../../helpers/temporary.ts';
import { cacheDirectory, pythonEnvironment } from '../../testbed/components.ts';

const JOURNAL_REMOTE = '/lib/systemd/systemd-journal-remote';
const EVENTS = 25;
const numbers = Array.from({ length: EVENTS }, (_, number) => number);

const UTMP = `import struct, sys
for n in range(${EVENTS}):
    sys.stdout.buffer.write(struct.pack("hi32s4s32s256shhiii4i20x", 7, 4242 + n, b"pts/0", b"ts/0", b"mallory", b"198.51.100.7", 0, 0, 0, 1700000000 + n, 0, 0, 0, 0, 0))`;

/** As systemd-journal-remote takes them: the journal's export format. */
function journalExport(): string {
  const entries = numbers.map((number) =>
    [
      `__REALTIME_TIMESTAMP=${1_700_000_000_000_000 + number * 1_000_000}`,
      `__MONOTONIC_TIMESTAMP=${1_000_000 + number}`,
      '_BOOT_ID=0123456789abcdef0123456789abcdef',
      `MESSAGE=session ${number} opened`,
      'SYSLOG_IDENTIFIER=sshd',
      '_HOSTNAME=node',
      '_PID=7',
      'PRIORITY=6',
    ].join('\n'),
  );
  return `${entries.join('\n\n')}\n\n`;
}

test("plaso's parsers accept journal, logins, audit records and pods' logs", { timeout: 300_000 }, async (t) => {
  if (!needs(t, 'plaso', 'systemd-journal-remote', 'python3')) return;
  const root = await folderWith(t, {
    'var/log/wtmp': execFileSync('python3', ['-c', UTMP]),
    'var/log/audit/audit.log': numbers
      .map((number) => `type=EXECVE msg=audit(17000000${10 + number}.123:${number}): argc=1 a0="id"\n`)
      .join(''),
    'var/log/pods/shop_web-1_5f0f8d1e-0000-4000-8000-000000000001/web/0.log': numbers
      .map((number) => `2024-05-01T10:00:${10 + number}.000000000Z stdout F hello ${number}\n`)
      .join(''),
  });
  const journal = join(root, 'var/log/journal/0123456789abcdef0123456789abcdef/system.journal');
  await mkdir(dirname(journal), { recursive: true });
  execFileSync(JOURNAL_REMOTE, ['-o', journal, '-'], { input: journalExport(), stdio: ['pipe', 'pipe', 'pipe'] });

  const { artefacts } = await collect(logs, { host: hostAt(root, { proc: '/proc', sys: '/sys' }) });
  const work = await temporaryFolder(t);
  const archives = ['host', 'journal', 'pods'].map((name) => artefacts.get(`70-log/${name}.tar.zst`));
  const evidence = await unpacked(t, ...archives);
  const plaso = (program: string, ...args: readonly string[]): void => {
    execFileSync(join(pythonEnvironment(cacheDirectory()), 'bin', program), args, {
      cwd: work,
      stdio: 'pipe',
      env: { ...process.env, HOME: work },
    });
  };
  const store = join(work, 'events.plaso');
  const quiet = ['--status-view', 'none', '--logfile', join(work, 'log.gz')];
  plaso('log2timeline', ...quiet, '--unattended', '--single-process', '--storage-file', store, evidence);
  plaso('psort', ...quiet, '-o', 'json_line', '-w', join(work, 'events.jsonl'), store);
  const events = (await readFile(join(work, 'events.jsonl'), 'utf8')).trim().split('\n');
  const count = new Map<string, number>();
  for (const line of events) {
    const { parser } = JSON.parse(line) as { parser: string };
    count.set(parser, (count.get(parser) ?? 0) + 1);
  }
  t.diagnostic(JSON.stringify(Object.fromEntries(count)));
  for (const parser of ['systemd_journal', 'utmp', 'text/selinux', 'text/cri_log'])
    assert.ok((count.get(parser) ?? 0) >= EVENTS, `${parser}: ${JSON.stringify([...count])}`);
});
