// The TLS server on real connections: routes, bodies, streams, clients that leave.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { Problem } from '../../../controller/http/problem.ts';
import { ImpoundError } from '../../../evidence/index.ts';
import { raw, route, start } from './serving.ts';

const SECRET = 'a secret of the store';

test('a request finds its route, and its parameters are decoded once', async (t) => {
  const { client, seen } = await start(
    t,
    route('/v1/things/{name}', async ({ params, token }) => ({ json: { ...params, token } })),
    route('/v1/things/special', async () => ({ json: 'special' })),
    route('/v1/things/{name}/parts/{path...}', async ({ params, url }) => ({ json: { ...params, q: url.search } })),
  );
  const answer = await client.ask('/v1/things/a%20%2541', { token: 'abc' });
  assert.deepEqual([answer.status, answer.json], [200, { name: 'a %41', token: 'abc' }]);
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.equal((await client.ask('/v1/things/special')).body.toString(), '"special"\n');
  const rest = await client.ask('/v1/things/a/parts/b/c%2dd?e=%2f');
  assert.deepEqual(rest.json, { name: 'a', path: 'b/c-d', q: '?e=%2f' });
  assert.deepEqual(
    seen.map(({ route: name, status }) => [name, status]),
    [
      ['GET /v1/things/{name}', 200],
      ['GET /v1/things/special', 200],
      ['GET /v1/things/{name}/parts/{path...}', 200],
    ],
  );
  assert.ok(seen.every(({ seconds }) => seconds > 0 && seconds < 5));
});

test('a path that is none, or not of this method, is a problem', async (t) => {
  const { client, server } = await start(
    t,
    route('/v1/{name}/{path...}', async ({ params }) => ({ json: params })),
    route('/v1/{name}/{path...}', async () => ({ status: 201 }), 'PUT'),
  );
  const missing = await client.ask('/v2/x');
  assert.equal(missing.status, 404);
  assert.equal(missing.headers['content-type'], 'application/problem+json');
  assert.deepEqual(missing.json, {
    ...{ type: 'https://impound.dev/problems/not-found', title: 'Not Found', status: 404 },
    ...{ detail: 'there is nothing of this path', code: 'not-found' },
  });
  const other = await client.ask('/v1/a/b', { method: 'DELETE' });
  assert.deepEqual([other.status, other.headers.allow], [405, 'GET, PUT']);
  for (const path of [
    '/v1/a/..%2fb',
    '/v1/a/%2e%2e/b',
    '/v1/a/../b',
    '/v1/a/b%00',
    '/v1/a/%5cb',
    '/v1/a/%ff',
    '/v1/a/%zz',
  ])
    assert.equal((await client.ask(path)).status, 400, path);
  assert.equal((await client.ask('//v1/a/b')).status, 404);
  assert.match(
    await raw(server.port, 'GET https://evil/v1/a/b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'),
    /^HTTP\/1.1 400/,
  );
});

test('a body is read within its limit and as its schema says', async (t) => {
  const schema = z.strictObject({ a: z.int() });
  const { client, server } = await start(
    t,
    route('/small', async (call) => ({ json: await call.json(schema, 100) }), 'POST'),
    route('/refuses', async () => Promise.reject(new Problem(403, 'forbidden', 'no')), 'PUT'),
  );
  assert.deepEqual((await client.ask('/small', { body: { a: 1 } })).json, { a: 1 });
  const wrong = await client.ask('/small', { body: { a: 1, b: 2 } });
  assert.deepEqual([wrong.status, wrong.json.code], [400, 'request-invalid']);
  assert.match(String(wrong.json.detail), /"b"/);
  assert.equal(
    (await client.ask('/small', { body: 'x', headers: { 'content-type': 'application/json' } })).status,
    400,
  );
  assert.equal((await client.ask('/small', { body: '{"a":1}' })).status, 415);
  const long = JSON.stringify({ a: 1, b: 'x'.repeat(200) });
  const json = { 'content-type': 'application/json' };
  assert.equal((await client.ask('/small', { body: long, headers: json })).status, 413);
  const chunked = `POST /small HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`;
  assert.match(await raw(server.port, `${chunked}c8\r\n${'x'.repeat(200)}\r\n`), /^HTTP\/1.1 413/);
  // what is refused before its body is read is told so, however long the body is
  const put = await client.ask('/refuses', { method: 'PUT', body: Buffer.alloc(700_000) });
  assert.deepEqual([put.status, put.headers.connection], [403, 'close']);
  assert.match(
    await raw(server.port, `GET / HTTP/1.1\r\nhost: x\r\nx: ${'x'.repeat(30_000)}\r\n\r\n`),
    /^HTTP\/1.1 431/,
  );
});

test('a route reads a large body as it comes', async (t) => {
  const { client } = await start(
    t,
    route(
      '/parts/{n}',
      async ({ request }) => {
        let size = 0;
        for await (const chunk of request as AsyncIterable<Buffer>) size += chunk.length;
        return { status: 201, json: { size } };
      },
      'PUT',
    ),
  );
  const body = Buffer.alloc(16 * 1024 * 1024, 'x');
  const put = await client.ask('/parts/1', { method: 'PUT', body });
  assert.deepEqual([put.status, put.json], [201, { size: body.length }]);
});

test('a failure is told without its reason, which is logged', async (t) => {
  const fails = (error: unknown) => async () => Promise.reject(error);
  const { client, logged } = await start(
    t,
    route('/error', fails(new Error(SECRET))),
    route('/problem', fails(new Problem(429, 'too-many', 'slowly', { retryAfter: 7, limit: 3 }))),
    route('/api', fails(new ImpoundError('api-unreachable', SECRET, { operation: 'get' }))),
  );
  const error = await client.ask('/error');
  assert.deepEqual([error.status, error.json.code], [500, 'internal']);
  assert.ok(!error.body.includes(SECRET) && logged.some((line) => line.includes(SECRET)));
  const problem = await client.ask('/problem');
  assert.deepEqual([problem.status, problem.headers['retry-after'], problem.json.limit], [429, '7', 3]);
  const api = await client.ask('/api');
  assert.deepEqual([api.status, api.headers['retry-after'], api.json.code], [503, '2', 'unavailable']);
  assert.ok(!api.body.includes(SECRET));
});

test('a stream waits for its reader, and ends with a client that leaves', async (t) => {
  let made = 0;
  const ended = Promise.withResolvers<void>();
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        made += 65_536;
        yield Buffer.alloc(65_536);
      }
    } finally {
      ended.resolve();
    }
  }
  const { client } = await start(
    t,
    route('/endless', async () => ({ stream: endless() })),
  );
  const answer = await client.open('/endless');
  await sleep(300);
  const before = made;
  await sleep(300);
  assert.equal(made, before, 'nothing is made that nobody reads');
  assert.ok(made < 16 * 1024 * 1024, String(made));
  answer.destroy();
  await ended.promise;
});

test('a stream that breaks off never looks whole, and one that fails at once is a problem', async (t) => {
  async function* broken(first: boolean): AsyncGenerator<Uint8Array> {
    if (first) yield Buffer.from('some');
    throw new Error(SECRET);
  }
  async function* short(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('four');
  }
  const { client } = await start(
    t,
    route('/at-once', async () => ({ stream: broken(false) })),
    route('/under-way', async () => ({ stream: broken(true) })),
    route('/short', async () => ({ headers: { 'content-length': '5' }, stream: short() })),
    route('/long', async () => ({ headers: { 'content-length': '3' }, stream: short() })),
  );
  assert.equal((await client.ask('/at-once')).status, 500);
  for (const path of ['/under-way', '/short', '/long'])
    await assert.rejects(client.ask(path), /aborted|hang up|ECONNRESET/, path);
});

test('who waits is told that its client left', async (t) => {
  const left = Promise.withResolvers<number>();
  const { client } = await start(
    t,
    route('/poll', async ({ signal }) => {
      const began = performance.now();
      await once(signal, 'abort');
      left.resolve(performance.now() - began);
      return {};
    }),
  );
  const leaving = new AbortController();
  const asked = client.ask('/poll', { signal: leaving.signal });
  await sleep(100);
  leaving.abort();
  await assert.rejects(asked);
  assert.ok((await left.promise) < 2000);
});
