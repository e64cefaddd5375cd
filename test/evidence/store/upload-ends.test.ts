// How waiting ends: of an uploader that meets nobody whom it trusts, or is told to; of whoever takes a body that never ends.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { open, readdir } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { takeBody } from '../../../evidence/store/directory/receive.ts';
import { DirectoryStore } from '../../../evidence/store/directory.ts';
import { DirectoryWriter } from '../../../evidence/store/directory-writer.ts';
import type { UploadGrants } from '../../../evidence/store/upload/grants.ts';
import { connections } from '../../../evidence/store/upload/send.ts';
import { type UploaderOptions, uploader } from '../../../evidence/store/upload.ts';
import { needs } from '../../helpers/component.ts';
import { startReceiver } from '../../helpers/receiver.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';
import { timed } from '../../helpers/timed.ts';

const MIB = 1024 ** 2;
const PATH = 'data/00-meta/a.bin';

test('an authority that nobody named is not trusted', async (t) => {
  if (!needs(t, 'openssl')) return;
  const [folder, bytes] = [await temporaryFolder(t), await startReceiver(t)];
  const store = new DirectoryStore({ root: join(folder, 'one'), partial: join(folder, '.partial/one') });
  const uploads = store.uploads({ receiver: bytes.receiver });
  bytes.serve(uploads);
  const up = uploader({ grants: uploads.grants, patience: { milliseconds: 300 } });
  t.after(() => up.close());
  const writer = await up.create(PATH);
  await writer.write(Buffer.from('evidence'));
  await assert.rejects(writer.commit(), { code: 'store-failed', message: /certificate/ });
  assert.deepEqual(bytes.answers, []);
  const garbled = bytes.ca.replace(/[A-Z]/, '!');
  for (const ca of ['', 'x', garbled])
    assert.throws(() => uploader({ grants: uploads.grants, ca }), { code: 'certificate-unreadable' });
});

/** Grants that lead to a server that takes everything and answers nothing. */
async function silent(t: TestContext, more: Partial<UploadGrants> = {}): Promise<UploaderOptions> {
  const server = createServer((socket) => socket.on('error', () => undefined).resume());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const grant = async ({ size }: { readonly size: number }) => ({
    url: `http://127.0.0.1:${port}/`,
    headers: { 'content-length': String(size) },
    expires: new Date().toISOString(),
  });
  const never = () => new Promise<never>(() => undefined);
  const grants: UploadGrants = {
    grantObject: grant,
    grantPart: grant,
    beginUpload: async () => 'one',
    completeUpload: never,
    finished: never,
    finishedUpload: never,
    finishedPart: never,
    ...more,
  };
  return { grants };
}

test('a signal ends what waits for the store, for a grant, for a place and for another try', async (t) => {
  const never = () => new Promise<never>(() => undefined);
  const refused = async ({ size }: { readonly size: number }) => ({
    url: 'http://127.0.0.1:9/',
    headers: { 'content-length': String(size) },
    expires: '',
  });
  const warned: string[] = [];
  const warn = (warning: Error): void => void warned.push(warning.name);
  process.on('warning', warn);
  t.after(() => process.off('warning', warn));
  const cases: Readonly<Record<string, readonly [Partial<UploadGrants>, number, number]>> = {
    'an answer': [{}, 1, 1000],
    'a place': [{}, 40, 1000],
    'a part': [{}, 2, 40 * MIB],
    'a grant': [{ grantObject: never }, 20, 1000],
    'an upload': [{ beginUpload: never }, 1, 40 * MIB],
    'another try': [{ grantObject: refused }, 3, 1000],
  };
  for (const [name, [more, objects, size]] of Object.entries(cases)) {
    const ending = new AbortController();
    const up = uploader({ ...(await silent(t, more)), signal: ending.signal });
    t.after(() => up.close());
    const write = async (): Promise<void> => {
      const writer = await up.create(PATH);
      try {
        for (let left = size; left > 0; left -= MIB) await writer.write(randomBytes(Math.min(left, MIB)));
        await writer.commit();
      } finally {
        await writer.abandon();
      }
    };
    const writing = Array.from({ length: objects }, write).map((work) =>
      work.catch((error: { code?: string }) => error.code),
    );
    await sleep(300);
    ending.abort();
    const { value, seconds } = await timed(() => Promise.all(writing));
    assert.deepEqual(new Set(value), new Set(['aborted']), name);
    assert.ok(seconds < 2, `${name}: ${seconds} s`);
    await assert.rejects(write(), { code: 'aborted' }, name);
  }
  await sleep(50);
  assert.deepEqual(warned, []);
});

/** In a process of its own: it closes what it answered while we look elsewhere. */
const CLOSING = `
const server = require('node:http').createServer((request, response) => {
  request.resume().on('end', () => response.end(() => setTimeout(() => request.socket.destroy(), 20)));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
`;

test('a kept connection that the store has closed costs one try, and not the process', async (t) => {
  const server = spawn(process.execPath, ['--eval', CLOSING], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => server.kill());
  const [port] = (await once(server.stdout, 'data')) as [Buffer];
  const kept = connections({ ca: undefined, signal: undefined });
  t.after(kept.close);
  const bytes = Buffer.alloc(1000);
  const put = (): Promise<unknown> =>
    kept.put(
      async () => ({
        url: `http://127.0.0.1:${String(port).trim()}/`,
        headers: { 'content-length': String(bytes.length) },
        expires: new Date().toISOString(),
      }),
      bytes,
    );
  let broken = 0;
  for (let round = 0; round < 10; round++) {
    await put();
    await sleep(5); // what a timer begins hears of its connection before it goes on
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    await put().catch(() => broken++);
  }
  assert.ok(broken > 0);
});

test('a store that is full says so at once', async (t) => {
  if (!needs(t, 'openssl')) return;
  const bytes = await startReceiver(t);
  bytes.serve({
    grants: {} as UploadGrants,
    receive: async () => ({ status: 507, headers: {}, body: '<Code>InsufficientStorage</Code>' }),
  });
  const { grants } = await silent(t, {
    grantObject: async ({ size }) => ({
      url: bytes.receiver.url,
      headers: { 'content-length': String(size) },
      expires: '',
    }),
  });
  const up = uploader({ grants, ca: bytes.ca });
  t.after(() => up.close());
  const writer = await up.create(PATH);
  await writer.write(Buffer.from(createHash('sha256').update('x').digest('hex')));
  await assert.rejects(writer.commit(), { code: 'store-full' });
  assert.equal(bytes.answers.length, 1);
});

test('a body that comes too slowly is given up, and nothing of it stays', async (t) => {
  const folder = await temporaryFolder(t);
  const [temporary, target] = [join(folder, 'half'), join(folder, 'whole')];
  async function* dripping(milliseconds: number): AsyncGenerator<Uint8Array> {
    for (let n = 0; n < 100; n++) {
      yield Buffer.from('x');
      await sleep(milliseconds, undefined, { ref: false });
    }
  }
  for (const [every, pace] of [
    [60_000, { silence: 100, whole: 5000 }],
    [20, { silence: 1000, whole: 200 }],
  ] as const) {
    const writer = new DirectoryWriter(await open(temporary, 'wx'), temporary, target, PATH);
    const expected = { size: 100, sha256: '0'.repeat(64) };
    const { value, seconds } = await timed(() =>
      takeBody(writer, dripping(every), expected, pace).catch((error: { code?: string }) => error.code),
    );
    assert.equal(value, 'RequestTimeout');
    assert.ok(seconds < 2);
    assert.deepEqual(await readdir(folder), []);
  }
});
