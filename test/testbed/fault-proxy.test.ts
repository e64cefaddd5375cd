import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { type FaultProxy, type Rule, startProxy } from './fault-proxy.ts';

const BODY = Buffer.alloc(10_000, 'x');

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

interface Received {
  readonly method: string | undefined;
  readonly headers: IncomingMessage['headers'];
  /** Undefined where it did not arrive whole. */
  readonly length: number | undefined;
}

/** A server that answers everything with BODY, behind a proxy, and a client that keeps its connection. */
async function bed(t: TestContext, ...rules: readonly Rule[]) {
  const received: Received[] = [];
  const server = createServer(async (incoming, response) => {
    const { method, headers } = incoming;
    const body = await buffer(incoming).catch(() => undefined);
    received.push({ method, headers, length: body?.length });
    response.writeHead(200, { 'content-length': BODY.length, etag: '"e"', date: 'then' });
    response.end(method === 'HEAD' ? undefined : BODY);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const proxy = await startProxy(t, `http://127.0.0.1:${address.port}`);
  proxy.add(...rules);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  return {
    proxy,
    received,
    ask: (method: string, path: string, body?: Buffer) => ask(agent, proxy, method, path, body),
  };
}

async function ask(agent: Agent, proxy: FaultProxy, method: string, path: string, body?: Buffer): Promise<Answer> {
  const outgoing = request(`${proxy.endpoint}${path}`, { method, agent });
  outgoing.on('error', () => undefined); // comes once more when the answer has begun
  outgoing.end(body);
  const [reply]: IncomingMessage[] = await once(outgoing, 'response');
  assert.ok(reply !== undefined);
  return { status: reply.statusCode, headers: reply.headers, body: await buffer(reply) };
}

test('requests and answers pass unchanged, several on one connection', async (t) => {
  const { proxy, received, ask } = await bed(t);
  for (const length of [0, 1, 3_000_000]) {
    const answer = await ask('PUT', '/k?x=%2F', Buffer.alloc(length));
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.body, BODY);
    assert.equal(answer.headers.date, 'then');
  }
  const head = await ask('HEAD', '/k');
  assert.equal(head.headers['content-length'], String(BODY.length));
  assert.deepEqual(
    received.map(({ length }) => length),
    [0, 1, 3_000_000, 0],
  );
  assert.equal(received[0]?.headers.host, proxy.endpoint.slice('http://'.length));
  assert.deepEqual(
    proxy.seen.map(({ method, target, sentOn, status }) => [method, target, sentOn, status]),
    [
      ['PUT', '/k?x=%2F', 0, 200],
      ['PUT', '/k?x=%2F', 1, 200],
      ['PUT', '/k?x=%2F', 3_000_000, 200],
      ['HEAD', '/k', 0, 200],
    ],
  );
});

test('a chunked body passes', async (t) => {
  const { proxy, received } = await bed(t);
  const outgoing = request(`${proxy.endpoint}/k`, { method: 'PUT', agent: false });
  for (const piece of ['one', 'two']) outgoing.write(piece);
  outgoing.end();
  const [reply]: IncomingMessage[] = await once(outgoing, 'response');
  assert.equal(reply?.statusCode, 200);
  reply?.resume();
  assert.equal(received[0]?.length, 6);
  assert.equal(received[0]?.headers['transfer-encoding'], 'chunked');
});

test('a client that waits for "100 Continue" hears it from the server', async (t) => {
  const { proxy, received } = await bed(t);
  const headers = { expect: '100-continue', 'content-length': 3 };
  const outgoing = request(`${proxy.endpoint}/k`, { method: 'PUT', agent: false, headers });
  outgoing.flushHeaders();
  await once(outgoing, 'continue');
  outgoing.end('abc');
  const [reply]: IncomingMessage[] = await once(outgoing, 'response');
  reply?.resume();
  assert.equal(received[0]?.length, 3);
});

test('the nth request that matches method and target is answered as S3 answers errors', async (t) => {
  const fault = { kind: 'answer', status: 503, code: 'SlowDown', headers: { date: 'late' } } as const;
  const { received, ask } = await bed(t, { method: 'PUT', target: /^\/k\?partNumber=/, nth: 2, times: 2, fault });
  const statuses: (number | undefined)[] = [];
  for (let part = 1; part <= 4; part++) {
    await ask('GET', '/other');
    statuses.push((await ask('PUT', `/k?partNumber=${part}`, BODY)).status);
  }
  assert.deepEqual(statuses, [200, 503, 503, 200]);
  assert.equal(received.filter(({ method }) => method === 'PUT').length, 2);
});

test('the answer of the proxy has the code in its body, the headers asked for, and no body for HEAD', async (t) => {
  const fault = { kind: 'answer', status: 403, code: 'AccessDenied', headers: { date: 'late' } } as const;
  const { ask } = await bed(t, { times: 2, fault });
  const answer = await ask('PUT', '/k', BODY);
  assert.match(answer.body.toString(), /<Error><Code>AccessDenied<\/Code>/);
  assert.equal(answer.headers.date, 'late');
  const head = await ask('HEAD', '/k');
  assert.deepEqual([head.status, head.body.length], [403, 0]);
});

test('a cut request: the server gets so much of the body and no more', async (t) => {
  const { proxy, received, ask } = await bed(t, { fault: { kind: 'cut-request', bytes: 1000 } });
  await assert.rejects(ask('PUT', '/k', Buffer.alloc(1_000_000)), { code: /ECONNRESET|EPIPE/ });
  assert.equal(proxy.seen[0]?.sentOn, 1000);
  while (received.length === 0) await new Promise(setImmediate);
  assert.equal(received[0]?.length, undefined);
  assert.equal((await ask('PUT', '/k', BODY)).status, 200);
});

test('a request cut at 0 bytes never reaches the server', async (t) => {
  const { received, ask } = await bed(t, { fault: { kind: 'cut-request', bytes: 0 } });
  await assert.rejects(ask('GET', '/k'), { code: 'ECONNRESET' });
  assert.deepEqual(received, []);
});

test('a cut answer, half an answer, a lost answer: the client sees its connection end', async (t) => {
  const { received, ask } = await bed(
    t,
    { target: /cut/, fault: { kind: 'cut-response', bytes: 100 } },
    { target: /half/, fault: { kind: 'half-response' } },
    { target: /lost/, fault: { kind: 'lose-response' } },
  );
  await assert.rejects(ask('GET', '/cut'), { code: 'ECONNRESET' });
  await assert.rejects(ask('GET', '/half'), { code: 'ECONNRESET' });
  await assert.rejects(ask('PUT', '/lost', BODY), { code: 'ECONNRESET' });
  assert.deepEqual(
    received.map(({ length }) => length),
    [0, 0, BODY.length],
  );
});

test('half an answer is half of the announced length', async (t) => {
  const { proxy } = await bed(t, { fault: { kind: 'half-response' } });
  const outgoing = request(`${proxy.endpoint}/k`, { agent: false }).end();
  const [reply]: IncomingMessage[] = await once(outgoing, 'response');
  let length = 0;
  reply?.on('data', (chunk: Buffer) => {
    length += chunk.length;
  });
  await assert.rejects(once(reply ?? outgoing, 'end'), { code: 'ECONNRESET' });
  assert.equal(length, BODY.length / 2);
});

test('a delay and a throttle take their time', async (t) => {
  const { ask } = await bed(
    t,
    { target: /late/, fault: { kind: 'delay', milliseconds: 200 } },
    { target: /slow/, fault: { kind: 'throttle', bytesPerSecond: 2 * BODY.length } },
  );
  assert.ok((await took(() => ask('GET', '/late'))) >= 195);
  assert.ok((await took(() => ask('PUT', '/slow', BODY))) >= 950); // half a second each way
  assert.ok((await took(() => ask('PUT', '/slow', BODY))) < 450); // once only
});

test('a server that is gone, and a proxy that stops, end connections', async (t) => {
  const proxy = await startProxy(t, 'http://127.0.0.1:1');
  await assert.rejects(ask(new Agent(), proxy, 'GET', '/'), { code: 'ECONNRESET' });
  proxy.add({ fault: { kind: 'delay', milliseconds: 60_000 } });
  const asked = assert.rejects(ask(new Agent(), proxy, 'GET', '/'), { code: 'ECONNRESET' });
  while (proxy.seen.length < 2) await new Promise(setImmediate);
  await proxy.stop();
  await asked;
});

async function took(action: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await action();
  return performance.now() - begun;
}
