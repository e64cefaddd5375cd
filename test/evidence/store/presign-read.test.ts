// What a store in S3 grants: a URL to read what was written first, as a file and not for long; uploads below it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { uploader } from '../../../evidence/store/upload.ts';
import { needs } from '../../helpers/component.ts';
import { EVIDENCE, s3StoreOf } from '../../helpers/s3.ts';
import { S3_COMPONENTS, startS3 } from '../../testbed/s3.ts';

const MIB = 1024 ** 2;
const GRANTED = 'data/40-memory/granted.bin';
const PATH = 'data/00-meta/page.html';

test('the first version comes as a file that no browser shows', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await startS3(t);
  await s3.makeBucket({ name: EVIDENCE, objectLock: true });
  const store = s3StoreOf(s3, 'one');
  await store.put(`${PATH}.other`, Buffer.from('neighbour'));
  await store.put(PATH, Buffer.from('<script>'));
  const over = new PutObjectCommand({ Bucket: EVIDENCE, Key: `one/${PATH}`, Body: 'forged', ContentType: 'text/html' });
  await s3.client.send(over);
  // who wrote it knows its version; who opens the store later asks for it
  for (const opened of [store, s3StoreOf(s3, 'one')]) {
    const url = await opened.presignRead(PATH, 3600);
    assert.equal(new URL(url).searchParams.get('X-Amz-Expires'), '120');
    const reply = await fetch(url);
    assert.deepEqual([reply.status, await reply.text()], [200, '<script>']);
    assert.equal(reply.headers.get('content-disposition'), 'attachment; filename="page.html"');
    assert.equal(reply.headers.get('content-type'), 'application/octet-stream');
    const inline = await fetch(url.replace('attachment', 'inline'));
    assert.equal(inline.status, 403);
    assert.equal((await fetch(url, { method: 'PUT', body: 'x' })).status, 403);
  }
  const brief = await store.presignRead(PATH, 1);
  await sleep(2100);
  assert.equal((await fetch(brief)).status, 403);
  await assert.rejects(store.presignRead('data/00-meta/page', 60), { code: 'object-missing' });
  await assert.rejects(store.presignRead('../other', 60), { code: 'path-invalid' });
});

test('a store grants uploads into what is below it', async (t) => {
  if (!needs(t, ...S3_COMPONENTS)) return;
  const s3 = await startS3(t);
  await s3.makeBucket({ name: EVIDENCE, objectLock: true });
  const store = s3StoreOf(s3, 'cluster').below('case/bundle');
  const { grants, receive } = store.uploads({ partBytes: 16 * MIB });
  assert.equal(receive, undefined);
  const up = uploader({ grants });
  t.after(() => up.close());
  for (const [path, size] of [
    [PATH, 1000],
    [GRANTED, 17 * MIB],
  ] as const) {
    const writer = await up.create(path);
    await writer.write(randomBytes(size));
    const stored = await writer.commit();
    assert.equal(await store.size(path), size);
    assert.equal(await s3StoreOf(s3, 'cluster/case/bundle').size(path), size);
    if (stored.parts !== undefined) assert.ok((await grants.finishedUpload(path, stored.parts))?.versionId);
  }
  const small = store.uploads({ partBytes: 999 }).grants;
  await assert.rejects(small.grantObject({ path: PATH, size: 1000, sha256: '0'.repeat(64) }), {
    code: 'grant-refused',
  });
});
