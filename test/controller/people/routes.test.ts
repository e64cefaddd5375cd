// People before the API: who may see, who may read, and that nobody reads evidence without saying so first.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { readChain, readWhole } from '../../../evidence/index.ts';
import { missing } from '../../helpers/component.ts';
import { EVIDENCE } from '../../helpers/s3.ts';
import { CLUSTER_COMPONENTS } from '../../testbed/cluster.ts';
import { S3_COMPONENTS } from '../../testbed/s3.ts';
import { BIG, BIG_PATH, type PeopleBed, startPeopleBed } from './people-bed.ts';

const lacking = missing([...CLUSTER_COMPONENTS, ...S3_COMPONENTS]);
const skip = lacking !== undefined && process.env.CI !== 'true' ? lacking : false;
assert.ok(lacking === undefined || skip !== false, lacking);
const bed = skip === false ? await startPeopleBed() : undefined;

const tokens = {
  analyst: await bed?.bed.personToken('anna', 'impound-analyst'),
  second: await bed?.bed.personToken('albert', 'impound-analyst'),
  auditor: await bed?.bed.personToken('audrey', 'impound-auditor'),
  nobody: await bed?.bed.personToken('nobody'),
};

const scenario = (name: string, work: (bed: PeopleBed) => Promise<void>): void => {
  test(name, { skip }, () => work(bed ?? assert.fail()));
};

const as = (person: keyof typeof tokens) => ({ token: tokens[person] ?? '' });
const BUNDLES = ['folder', 'bucket'] as const;
const at = (name: string, path: string): string => `/v1/captures/${name}/objects/${path}`;

scenario('captures are listed and shown to who may see them', async ({ client }) => {
  const list = await client.ask('/v1/captures', as('auditor'));
  assert.equal(list.status, 200);
  const items = list.json.items as readonly { metadata: Record<string, unknown>; spec: Record<string, unknown> }[];
  assert.deepEqual(
    items.map(({ metadata }) => metadata.name),
    ['bucket', 'folder', 'pending'],
  );
  assert.ok(items.every(({ metadata, spec }) => metadata.managedFields === undefined && spec.node === 'node1'));
  const one = await client.ask('/v1/captures/folder', as('auditor'));
  assert.deepEqual(one.json, items[1]);
  assert.equal((await client.ask('/v1/captures/none', as('auditor'))).status, 404);
});

scenario('who has no right is refused, and is not told what there is', async ({ client }) => {
  for (const [person, status] of [
    ['nobody', 403],
    ['auditor', 403],
  ] as const)
    for (const path of [at('folder', 'bagit.txt'), at('none', 'bagit.txt'), '/v1/captures/folder/objects']) {
      const answer = await client.ask(path, as(person));
      assert.deepEqual([answer.status, answer.json.code], [status, 'forbidden'], path);
      assert.match(String(answer.json.detail), /"get" on nodecaptures\/bundle/);
    }
  for (const path of ['/v1/captures', '/v1/captures/folder', '/v1/captures/none'])
    assert.equal((await client.ask(path, as('nobody'))).status, 403);
  const body = { purpose: 'to see' };
  assert.equal((await client.ask('/v1/captures/folder/access', { ...as('auditor'), body })).status, 403);
  const none = await client.ask('/v1/captures');
  assert.deepEqual([none.status, none.headers['www-authenticate']], [401, 'Bearer realm="impound"']);
  assert.equal((await client.ask('/v1/captures', { token: 'forged' })).status, 401);
});

scenario('what a bundle says of itself needs the right alone, evidence an entry in one’s own name', async (bed) => {
  const { client, stores } = bed;
  for (const name of BUNDLES) {
    const store = stores.get(name) ?? assert.fail();
    for (const path of ['bagit.txt', 'manifest-sha256.txt', 'custody/000000.dsse.json']) {
      const answer = await client.ask(at(name, path), as('analyst'));
      assert.deepEqual([answer.status, answer.body], [200, await readWhole(store, path, 1e6)], path);
    }
    for (const path of [BIG_PATH, 'data/00-meta/request.json', 'data/60-file/none', 'other/file', 'custody/x']) {
      const refused = await client.ask(at(name, path), as('analyst'));
      assert.deepEqual([refused.status, refused.json.code], [403, 'access-unrecorded'], path);
      assert.match(String(refused.json.detail), /POST/);
      assert.equal((await client.ask(`${at(name, path)}?presign=1`, as('analyst'))).status, 403);
    }
    const before = (await readChain(store)).length;
    const recorded = await client.ask(`/v1/captures/${name}/access`, { ...as('analyst'), body: { purpose: ' IR-7 ' } });
    assert.equal(recorded.status, 201);
    const entry = (await readChain(store)).at(-1);
    assert.deepEqual(recorded.json, {
      ...{ person: 'system:serviceaccount:default:anna', sequence: before, sha256: entry?.sha256 },
    });
    const { action, actor, details } = entry?.statement.predicate ?? assert.fail();
    assert.deepEqual(
      [action, actor.name, details],
      ['access', 'system:serviceaccount:default:anna', { purpose: 'IR-7' }],
    );
    const read = await client.ask(at(name, BIG_PATH), as('analyst'));
    assert.ok(read.status === 200 && read.body.equals(BIG));
    // it is hers alone
    assert.equal((await client.ask(at(name, BIG_PATH), as('second'))).json.code, 'access-unrecorded');
  }
  assert.ok(bed.logged.some((line) => line.includes('an object is read') && line.includes(BIG_PATH)));
});

scenario('an entry that names paths covers these and what is below them', async ({ client }) => {
  const body = { purpose: 'only this', paths: ['data/10-process', 'data/50-kernel/empty.txt'] };
  assert.equal((await client.ask('/v1/captures/folder/access', { ...as('second'), body })).status, 201);
  const status = async (path: string) => (await client.ask(at('folder', path), as('second'))).status;
  const known = await client.ask('/v1/captures/folder/objects', as('second'));
  const paths = known.body
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).path as string);
  for (const path of paths.filter((one) => one.startsWith('data/10-process/')))
    assert.equal(await status(path), 200, path);
  assert.ok(
    paths.some((one) => one.startsWith('data/10-process/')),
    paths.join(),
  );
  assert.equal(await status('data/50-kernel/empty.txt'), 200);
  assert.deepEqual([await status(BIG_PATH), await status('data/10-processes')], [403, 403]);
});

scenario('a purpose must be said, in words, of paths that are some', async ({ client }) => {
  const bodies: readonly object[] = [
    ...[{}, { purpose: '' }, { purpose: '  ' }, { purpose: 'x'.repeat(1025) }, { purpose: 'a\u0000b' }],
    ...[
      { purpose: 'x', paths: [] },
      { purpose: 'x', paths: ['../x'] },
      { purpose: 'x', paths: ['custody'] },
    ],
    ...[
      { purpose: 'x', person: 'another' },
      { purpose: 'x', paths: Array(65).fill('data/a') },
    ],
  ];
  for (const body of bodies) {
    const answer = await client.ask('/v1/captures/folder/access', { ...as('analyst'), body });
    assert.deepEqual([answer.status, answer.json.code], [400, 'request-invalid'], JSON.stringify(body));
  }
});

scenario('a replica that does not lead says who does, and a capture without a bundle that it has none', async (bed) => {
  const body = { purpose: 'x' };
  bed.lead(false);
  const elsewhere = await bed.client.ask('/v1/captures/folder/access', { ...as('analyst'), body });
  bed.lead(true);
  assert.deepEqual(
    [elsewhere.status, elsewhere.json.code, elsewhere.json.leader],
    [421, 'not-leader', 'https://10.0.0.1:8443'],
  );
  for (const path of ['/v1/captures/pending/objects', at('pending', 'bagit.txt')])
    assert.equal((await bed.client.ask(path, as('analyst'))).status, 404);
});

scenario('all objects are listed, or those below a folder', async ({ client, stores }) => {
  for (const name of BUNDLES) {
    const expected: string[] = [];
    for await (const { path, size } of (stores.get(name) ?? assert.fail()).list()) expected.push(`${path} ${size}`);
    const lines = async (query: string): Promise<string[]> => {
      const answer = await client.ask(`/v1/captures/${name}/objects${query}`, as('analyst'));
      assert.deepEqual([answer.status, answer.headers['content-type']], [200, 'application/jsonl']);
      const rows = answer.body
        .toString()
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      return rows.map(({ path, size }) => `${path} ${size}`).sort();
    };
    assert.deepEqual(await lines(''), expected.sort());
    const below = expected.filter((line) => line.startsWith('data/10-process/'));
    assert.ok(below.length > 0);
    assert.deepEqual(await lines('?prefix=data/10-process'), below);
    for (const prefix of ['..', '/etc', 'data/../..', 'data//x', '%00'])
      assert.equal((await client.ask(`/v1/captures/${name}/objects?prefix=${prefix}`, as('analyst'))).status, 400);
  }
});

scenario('ranges are exact to the byte, and conditions hold', async ({ client }) => {
  const size = BIG.length;
  const digest = createHash('sha256').update(BIG).digest();
  const ranges: readonly [string, number, number][] = [
    ...([
      ['0-0', 0, 1],
      ['0-', 0, size],
      ['1-2', 1, 3],
      ['-1', size - 1, size],
    ] as [string, number, number][]),
    ...([
      ['65535-65536', 65_535, 65_537],
      [`${size - 1}-`, size - 1, size],
    ] as [string, number, number][]),
    ...([
      ['100-99999999999999999999', 100, size],
      [`-${size + 5}`, 0, size],
    ] as [string, number, number][]),
  ];
  for (const name of BUNDLES) {
    const get = (headers: Record<string, string>) => client.ask(at(name, BIG_PATH), { ...as('analyst'), headers });
    for (const [range, start, end] of ranges) {
      const answer = await get({ range: `bytes=${range}` });
      assert.deepEqual([answer.status, answer.headers['content-range']], [206, `bytes ${start}-${end - 1}/${size}`]);
      assert.ok(answer.body.equals(BIG.subarray(start, end)), range);
    }
    for (const range of [`bytes=${size}-`, 'bytes=-0', 'bytes=99999999999999999999-']) {
      const answer = await get({ range });
      assert.deepEqual([answer.status, answer.headers['content-range']], [416, `bytes */${size}`], range);
      assert.equal(answer.json.code, 'range-invalid');
    }
    for (const range of ['bytes=2-1', 'bytes=a-b', 'lines=1-2', 'bytes=-', 'bytes=0-1,3-4', '0-1'])
      assert.deepEqual([(await get({ range })).status, (await get({ range })).body.length], [200, size], range);
    const whole = await get({});
    const etag = `"${digest.toString('hex')}"`;
    assert.equal(whole.headers.etag, etag);
    assert.equal(whole.headers['repr-digest'], `sha-256=:${digest.toString('base64')}:`);
    assert.equal(whole.headers['content-type'], 'application/octet-stream');
    assert.equal(whole.headers['content-disposition'], 'attachment');
    const same = await get({ 'if-none-match': etag });
    assert.deepEqual([same.status, same.body.length], [304, 0]);
    assert.equal((await get({ range: 'bytes=0-0', 'if-range': etag })).status, 206);
    assert.equal((await get({ range: 'bytes=0-0', 'if-range': '"other"' })).status, 200);
    const empty = await client.ask(at(name, 'data/50-kernel/empty.txt'), as('analyst'));
    assert.deepEqual([empty.status, empty.body.length], [200, 0]);
  }
});

scenario('a path that is none of a bundle leads nowhere', async ({ client }) => {
  const tricks = [
    ...['..%2fbagit.txt', '..%2f..%2f..%2fetc%2fpasswd', 'data/..%2f..%2fcustody/000000.dsse.json', '%2fetc%2fpasswd'],
    ...['data/../bagit.txt', 'data/%2e%2e/bagit.txt', 'data/./60-file/big.bin', 'data//60-file/big.bin', '/etc/passwd'],
    ...['data/60-file/big.bin%00', 'data%2f60-file%2fbig.bin', 'data\\60-file', 'data/60-file/', 'data/%252e%252e/x'],
    ...['data/60-file/ü', 'data/60-file/%ff', 'data/60-file/big.bin%0a', '', '.', '%2e', 'x'.repeat(900)],
  ];
  for (const name of BUNDLES)
    for (const trick of tricks) {
      const answer = await client.ask(at(name, trick), as('analyst'));
      assert.ok(answer.status === 400 || answer.status === 404, `${trick}: ${answer.status}`);
    }
  for (const name of ['..', '..%2ffolder', 'FOLDER', 'a%00', 'x'.repeat(64)])
    assert.equal((await client.ask(`/v1/captures/${name}/objects/bagit.txt`, as('analyst'))).status, 400, name);
});

scenario('a store that can gives a URL that is good for this object', async ({ client }) => {
  const answer = await client.ask(`${at('bucket', BIG_PATH)}?presign=1`, as('analyst'));
  assert.deepEqual([answer.status, answer.json.size], [200, BIG.length]);
  const got = await fetch(String(answer.json.url));
  assert.ok(Buffer.from(await got.arrayBuffer()).equals(BIG));
  const folder = await client.ask(`${at('folder', BIG_PATH)}?presign=1`, as('analyst'));
  assert.deepEqual([folder.status, folder.json.code], [400, 'request-invalid']);
});

scenario('nobody reads so many objects at once that others cannot', async ({ client }) => {
  const large = at('folder', 'data/60-file/large.bin');
  const open = [];
  for (let one = 0; one < 16; one++) open.push(await client.open(large, as('analyst')));
  const refused = await client.ask(large, as('analyst'));
  assert.deepEqual([refused.status, refused.json.code, refused.headers['retry-after']], [429, 'too-many', '1']);
  assert.equal((await client.ask(at('folder', 'data/50-kernel/empty.txt'), as('second'))).status, 200);
  for (const answer of open) answer.destroy();
  for (const end = Date.now() + 5000; (await client.ask(large, as('analyst'))).status !== 200; )
    assert.ok(Date.now() < end, 'those that left are counted still');
});

// last: it writes over what was stored
scenario('what the store’s administrator wrote over it later is not what is given', async ({ client, s3 }) => {
  const Key = `bundle/${BIG_PATH}`;
  await s3.client.send(new PutObjectCommand({ Bucket: EVIDENCE, Key, Body: 'something else' }));
  const answer = await client.ask(at('bucket', BIG_PATH), as('analyst'));
  assert.ok(answer.status === 200 && answer.body.equals(BIG));
  const { json } = await client.ask(`${at('bucket', BIG_PATH)}?presign=1`, as('analyst'));
  assert.ok(Buffer.from(await (await fetch(String(json.url))).arrayBuffer()).equals(BIG));
});
