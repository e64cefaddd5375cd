// What is done with tables of sockets that are too long or damaged.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readNamespaces } from '../../../agent/collectors/sockets/pass.ts';
import { setUpOf } from '../../../agent/collectors/sockets/setup.ts';
import { hostAt } from '../../../agent/host/host.ts';
import type { ProcessSummary } from '../../../agent/host/walk.ts';
import { Channel, type Member } from '../../../evidence/index.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

test('limits: a long table goes on in further members, a longer one is cut and says so, damaged lines are counted', async (t) => {
  const proc = await temporaryFolder(t);
  const net = join(proc, '7/net');
  await mkdir(net, { recursive: true });
  await mkdir(join(proc, '7/ns'));
  await symlink('net:[77]', join(proc, '7/ns/net'));
  const line = readFileSync(new URL('../../fixtures/proc-net/tcp', import.meta.url), 'latin1').split('\n')[1] ?? '';
  await writeFile(join(net, 'tcp'), `${line}\n`.repeat(20_000)); // 3 MB
  await writeFile(join(net, 'udp'), 'not a socket\n');
  const rows = new Channel<Buffer>(1);
  const raw = new Channel<Member>(1);
  const host = hostAt('/', { proc });
  const gaps: Parameters<typeof readNamespaces>[3]['gaps'] = [];
  const member: ProcessSummary = { pid: 7, startTicks: '1', comm: 'x', netns: 77, sockets: [] };
  const pass = readNamespaces(
    host,
    [{ inode: 77, isHost: false, members: [member] }],
    new Map(),
    { sockets: rows, raw, setUp: setUpOf(host), gaps },
    new AbortController().signal,
    { file: 2_000_000, piece: 600_000 },
  ).finally(() => {
    rows.end();
    raw.end();
  });
  const members: Member[] = [];
  let count = 0;
  await Promise.all([
    pass,
    (async () => {
      for await (const chunk of rows) count += chunk.toString().split('\n').length - 1;
    })(),
    (async () => {
      for await (const item of raw) members.push(item);
    })(),
  ]);
  const sizeOf = ({ content }: Member): number => (content instanceof Uint8Array ? content.length : 0);
  assert.deepEqual(
    members.map(({ name }) => name),
    ['77/tcp', '77/tcp.2', '77/tcp.3', '77/tcp.4', '77/udp'],
  );
  assert.equal(
    members.slice(0, 4).reduce((sum, item) => sum + sizeOf(item), 0),
    2_000_000,
  );
  assert.ok(members.every((item) => sizeOf(item) <= 600_000));
  assert.equal(count, Math.floor(2_000_000 / (line.length + 1)));
  assert.match(gaps.find(({ reason }) => reason === 'truncated')?.name ?? '', /tcp$/);
  assert.deepEqual(
    gaps.filter(({ reason }) => reason === 'failed').map(({ name, detail }) => [name, detail?.slice(0, 7)]),
    [
      ['netns 77: tcp', '1 lines'],
      ['netns 77: udp', '1 lines'],
    ],
  );
});
