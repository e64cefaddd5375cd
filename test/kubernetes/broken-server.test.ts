// A server, or something before it, that answers what no API server should: bounded, named, and gone on from.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Kubernetes, type KubernetesObject, kubernetes } from '../../kubernetes/client.ts';
import { watchObjects } from '../../kubernetes/watch.ts';
import { needs } from '../helpers/component.ts';
import { coded, collectingLog, eventually } from './bed.ts';
import { generateCertificate } from './certificate.ts';

const PATH = '/api/v1/nodes';

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

async function serverThat(
  t: TestContext,
  answer: Answer,
): Promise<{ readonly client: Kubernetes; readonly asked: string[] }> {
  const { key, cert } = await generateCertificate(t);
  const asked: string[] = [];
  const server = createServer({ key, cert }, (request, response) => {
    asked.push(request.url ?? '');
    response.on('error', () => undefined);
    answer(response, request);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const headers = async (): Promise<Record<string, string>> => ({ authorization: 'Bearer of-nobody-else' });
  const client = kubernetes({ server: new URL(`https://127.0.0.1:${port}`), tls: { ca: cert }, headers });
  t.after(() => {
    client.close();
    server.close();
    server.closeAllConnections();
  });
  return { client, asked };
}

const drained = async (events: AsyncIterable<unknown>): Promise<number> => {
  let count = 0;
  for await (const _ of events) count++;
  return count;
};

test('what is not JSON, not an object, or a redirect, is an answer that failed', async (t) => {
  const answers: Answer[] = [
    (response) => response.end('<html>'),
    (response) => response.writeHead(502).end('<html>bad gateway</html>'),
    (response) => response.writeHead(500).end('null'),
    (response) => response.writeHead(302, { location: 'https://127.0.0.1:1/' }).end(),
    (response) => response.writeHead(403).end(JSON.stringify({ message: 'x'.repeat(100_000) })),
  ];
  if (!needs(t, 'openssl')) return;
  const { client } = await serverThat(t, (response, request) => answers.shift()?.(response, request));
  await assert.rejects(client.get(PATH), coded('api-failed', /is not JSON/));
  await assert.rejects(client.get(PATH), coded('api-failed', /HTTP 502/));
  await assert.rejects(client.get(PATH), coded('api-failed', /HTTP 500/));
  await assert.rejects(client.get(PATH), coded('api-failed', /HTTP 302/));
  await assert.rejects(client.get(PATH), (error: Error) => coded('api-denied')(error) && error.message.length < 1200);
});

test('an answer without an end ends in time, or at its limit', async (t) => {
  if (!needs(t, 'openssl')) return;
  const { client } = await serverThat(t, (response, { url }) => {
    response.on('close', () => clearInterval(timer));
    const timer = setInterval(() => response.write(url?.includes('drips') ? ' ' : Buffer.alloc(2 ** 22, ' ')), 20);
  });
  const began = performance.now();
  await assert.rejects(client.get('/api/drips', { milliseconds: 500 }), coded('api-unreachable', /ETIMEDOUT/));
  assert.ok(performance.now() - began < 1500);
  await assert.rejects(client.get('/api/pours'), coded('api-failed', /more than 67108864 bytes/));
  await assert.rejects(drained(client.watch('/api/pours')), coded('api-failed', /more than 4194304 bytes/));
});

test('an event that is cut in two places is one event; half of one is none', async (t) => {
  const line = JSON.stringify({ type: 'ADDED', object: { metadata: { name: 'süß' } } });
  if (!needs(t, 'openssl')) return;
  const { client } = await serverThat(t, async (response, { url }) => {
    if (url?.includes('half')) return response.end(`${line}\n${line.slice(0, 20)}`);
    for (const byte of Buffer.from(`${line}\n\n${line}\n`)) {
      response.write(Buffer.of(byte));
      await sleep(1);
    }
    response.end();
  });
  const names: string[] = [];
  for await (const { object } of client.watch<KubernetesObject>(PATH)) names.push(object.metadata.name);
  assert.deepEqual(names, ['süß', 'süß']);
  assert.equal(await drained(client.watch('/api/half')), 1);
});

test('a client without any answer to connecting gives up in time', async (t) => {
  if (!needs(t, 'openssl')) return;
  const { client } = await serverThat(t, () => undefined);
  const began = performance.now();
  await assert.rejects(client.get(PATH, { milliseconds: 300 }), coded('api-unreachable', /ETIMEDOUT/));
  assert.ok(performance.now() - began < 1000);
});

test('a watch goes on after errors, broken lines and resets, and tells each object once', async (t) => {
  const object = (name: string, resourceVersion: string): object => ({
    metadata: { name, uid: name, resourceVersion },
  });
  const added = (name: string, version: string): string =>
    `${JSON.stringify({ type: 'ADDED', object: object(name, version) })}\n`;
  const answers: Answer[] = [
    (response) => response.writeHead(500).end('{}'),
    (response) => response.end(JSON.stringify({ metadata: { resourceVersion: '5' }, items: [object('a', '3')] })),
    (response) => response.writeHead(500).end('{}'),
    (response) => response.end(`${added('b', '6')}{"type":"ADD\n`),
    (response) => {
      response.write(added('c', '7'));
      setTimeout(() => response.destroy(), 50);
    },
    (response) => response.write(added('d', '8')),
  ];
  if (!needs(t, 'openssl')) return;
  const { client, asked } = await serverThat(t, (response, request) => answers.shift()?.(response, request));
  const log = collectingLog();
  const ending = new AbortController();
  const told: string[] = [];
  const changed = (name: string): void => void told.push(name);
  const watched = watchObjects({ kubernetes: client, path: PATH, log, signal: ending.signal, changed });
  await eventually(() => told.length === 4, 5);
  assert.deepEqual(told, ['a', 'b', 'c', 'd']);
  const versions = asked.map((url) => new URL(url, 'https://a').searchParams.get('resourceVersion'));
  assert.deepEqual(versions, [null, null, '5', '5', '6', '7']);
  ending.abort();
  await watched.ended;
});

test('what takes a change in may fail: the watch goes on', async (t) => {
  const items = ['a', 'b'].map((name) => ({ metadata: { name, uid: name, resourceVersion: '1' } }));
  if (!needs(t, 'openssl')) return;
  const { client } = await serverThat(t, (response, { url }) => {
    if (!url?.includes('watch')) response.end(JSON.stringify({ metadata: { resourceVersion: '2' }, items }));
  });
  const log = collectingLog();
  const ending = new AbortController();
  const changed = (): void => {
    throw new Error('not this one');
  };
  const watched = watchObjects({ kubernetes: client, path: PATH, log, signal: ending.signal, changed });
  await watched.synced;
  assert.equal(log.lines.filter(({ level }) => level === 'error').length, 2);
  assert.equal(watched.all().length, 2);
  ending.abort();
  await watched.ended;
});
