// What a server lets nobody have, and how it ends.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { mostConnections } from '../../../controller/http/server.ts';
import { opened, route, start } from './serving.ts';

test('it ends in order: what waits is let go, what is being answered is answered, what hangs is cut', async (t) => {
  async function* slowly(): AsyncGenerator<Uint8Array> {
    for (let part = 0; part < 5; part++) {
      yield Buffer.from('part');
      await sleep(100);
    }
  }
  let asked = 0;
  const arrived = <T>(answer: T): T => {
    asked++;
    return answer;
  };
  const { client, server } = await start(
    t,
    route('/poll', async ({ signal }) => arrived(sleep(60_000, { json: 'late' }, { signal }))),
    route('/slowly', async () => arrived(Promise.resolve({ stream: slowly() }))),
    route('/hangs', async () => arrived(new Promise(() => undefined))),
  );
  const poll = client.ask('/poll');
  const stream = client.ask('/slowly');
  const hanging = assert.rejects(client.ask('/hangs'));
  const shaking = connect({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false });
  shaking.on('error', () => undefined);
  await once(shaking, 'secureConnect');
  while (asked < 3) await sleep(10);
  const began = performance.now();
  const closed = server.close(1500);
  const waited = await poll;
  assert.deepEqual([waited.status, waited.headers['retry-after']], [503, '1']);
  assert.ok(performance.now() - began < 300);
  assert.equal((await stream).body.toString(), 'part'.repeat(5));
  await hanging;
  await closed;
  const took = performance.now() - began;
  assert.ok(took > 1400 && took < 2500, String(took));
  await assert.rejects(client.ask('/poll'), /ECONNREFUSED/);
});

test('connections that say nothing, or ask without end, are ended', async (t) => {
  const { server } = await start(
    t,
    route('/hangs', async () => new Promise(() => undefined)),
  );
  const silent = await opened(server.port);
  const began = performance.now();
  const greedy = await opened(server.port);
  greedy.write('GET /hangs HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(10));
  await once(greedy.resume(), 'close');
  assert.ok(performance.now() - began < 2000);
  await once(silent.resume(), 'close');
  assert.ok(performance.now() - began < 15_000, 'ten seconds, and two until it is looked at');
});

test('one address does not take all connections', async (t) => {
  const { server, client } = await start(
    t,
    route('/here', async () => ({ json: 'here' })),
  );
  let refused = 0;
  const sockets = Array.from({ length: 300 }, () => {
    const socket = connectPlain(server.port, '127.0.0.1');
    return socket.on('error', () => undefined).on('close', () => refused++);
  });
  while (refused < 300 - 256) await sleep(20);
  assert.equal(refused, 300 - 256);
  for (const socket of sockets) socket.destroy();
  while (refused < 300) await sleep(20);
  assert.equal((await client.ask('/here')).status, 200);
});

test('as many connections are taken as memory is there for, within bounds', () => {
  const mebibytes = 1024 ** 2;
  assert.equal(mostConnections(512 * mebibytes), 3276);
  assert.equal(mostConnections(64 * mebibytes), 512);
  assert.equal(mostConnections(64 * 1024 * mebibytes), 16_384);
});
