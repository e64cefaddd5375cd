import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { clock } from '../../../agent/collectors/clock.ts';
import { collectHost, host } from '../../../agent/collectors/host.ts';
import { hostAt } from '../../../agent/host/host.ts';
import type { ClockSample } from '../../../evidence/index.ts';
import { collect } from '../../helpers/collect.ts';
import { folderWith } from '../../helpers/temporary.ts';

const NODE = {
  'proc/sys/kernel/hostname': 'node-1\n',
  'proc/sys/kernel/osrelease': '6.12.1\n',
  'proc/uptime': '12.50 3.00\n',
  'proc/1/mountinfo':
    '22 1 259:1 / / rw,relatime - ext4 /dev/root rw\n30 22 0:5 / /mnt/with\\040space ro - tmpfs none rw,size=4k\n',
  'etc/machine-id': '0123456789abcdef0123456789abcdef\n',
  'usr/lib/os-release': 'ID=bottlerocket\nVERSION_ID="1.30"\nPRETTY_NAME="Bottlerocket OS 1.30"\n',
  'sys/kernel/security/lockdown': 'none [integrity] confidentiality\n',
  'sys/fs/cgroup/cgroup.controllers': 'cpu memory\n',
  'sys/class/dmi/id/sys_vendor': 'Amazon EC2\n',
};

test('host.json says what machine it is', async (t) => {
  const { artefacts, gaps } = await collect(host);
  const document = JSON.parse(artefacts.get('00-meta/host.json')?.toString() ?? '') as Record<
    string,
    Record<string, unknown>
  >;
  assert.ok(String(document.kernel?.release).length > 0);
  assert.ok(Number((document.hardware as { memoryBytes: number }).memoryBytes) > 0);
  assert.ok((document.mounts as unknown as unknown[]).length > 0);
  t.diagnostic(JSON.stringify(gaps));
});

test('a node is described from its own tree', async (t) => {
  const root = await folderWith(t, { ...NODE, 'sys/class/dmi/id/sys_vendor': 'QEMU\n' });
  const { artefacts } = await collect(host, { host: hostAt(root) });
  const document = JSON.parse(artefacts.get('00-meta/host.json')?.toString() ?? '') as Record<string, unknown>;
  assert.deepEqual((document.host as { os: unknown }).os, {
    platform: 'bottlerocket',
    version: '1.30',
    full: 'Bottlerocket OS 1.30',
  });
  assert.equal((document.security as { lockdown: string }).lockdown, 'integrity');
  assert.equal((document.cgroups as { version: string }).version, 'v2');
  assert.deepEqual(
    (document.mounts as { point: string }[]).map(({ point }) => point),
    ['/', '/mnt/with space'],
  );
});

test('an instance of EC2 is asked for its identity, and one that does not answer is a gap', async (t) => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers['x-aws-ec2-metadata-token'] ?? ''}`);
    if (request.url === '/latest/api/token') response.end('TOKEN');
    else if (request.url?.endsWith('/document')) response.end('{"instanceId":"i-0123"}');
    else response.end('PKCS7');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const root = await folderWith(t, NODE);
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { artefacts } = await collect(
    { ...host, collect: (context) => collectHost(context, base) },
    { host: hostAt(root) },
  );
  const document = JSON.parse(artefacts.get('00-meta/host.json')?.toString() ?? '') as { instance: unknown };
  assert.deepEqual(document.instance, { document: { instanceId: 'i-0123' }, pkcs7: 'PKCS7' });
  assert.equal(asked[1], 'GET /latest/dynamic/instance-identity/document TOKEN');
  const silent = await collect(
    { ...host, collect: (context) => collectHost(context, 'http://127.0.0.1:9') },
    { host: hostAt(root) },
  );
  assert.ok(silent.gaps.some(({ reason, name }) => reason === 'absent' && name === 'instance identity'));
});

test('a machine that is no instance is asked nothing', async (t) => {
  const root = await folderWith(t, { ...NODE, 'sys/class/dmi/id/sys_vendor': 'QEMU\n' });
  const { footprint } = await collect(host, { host: hostAt(root) });
  assert.deepEqual(footprint, []);
});

test('the clock is read at the start, at each phase and at the end, into the table and onto the chain', async () => {
  const samples: ClockSample[] = [];
  const { artefacts } = await collect(clock, { clock: (sample) => void samples.push(sample) });
  const rows = artefacts
    .get('00-meta/clock.jsonl')
    ?.toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as ClockSample);
  assert.deepEqual(
    rows?.map(({ phase }) => phase),
    ['start', 'volatile', 'end'],
  );
  assert.deepEqual(samples, rows);
  const first = samples[0];
  assert.ok(
    first !== undefined && Math.abs(Date.parse(first.utc) - Date.now()) < 10_000 && Number(first.boottimeSeconds) > 0,
  );
});
