// The engine's client against sockets that behave in every bad way, and against a real engine.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, rename, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer, type IncomingMessage, request } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { engineStatus, openDocker } from '../../../agent/runtime/docker.ts';
import { ImpoundError } from '../../../evidence/index.ts';
import { needs } from '../../helpers/component.ts';
import { fileSocketFolder } from '../../helpers/temporary.ts';
import { startDockerd } from '../../testbed/dockerd.ts';
import { httpAnswer, startMeddler } from '../../testbed/meddler.ts';

const { folder, next: socketPath } = await fileSocketFolder();
const signal = new AbortController().signal;

async function codeAndSeconds(
  work: () => Promise<unknown>,
): Promise<{ code: string; seconds: number; error: unknown }> {
  const begun = performance.now();
  try {
    await work();
  } catch (error) {
    assert.ok(error instanceof ImpoundError, String(error));
    return { code: error.code, seconds: (performance.now() - begun) / 1000, error };
  }
  throw new Error('it did not fail');
}

const ping = async (socket: string): Promise<unknown> => (await openDocker(socket)).ping(signal);

test('an absent socket is unreachable', async () => {
  assert.equal((await codeAndSeconds(() => ping(join(folder, 'none')))).code, 'engine-unreachable');
});

test('a socket whose listener is gone is unreachable', async () => {
  const socket = socketPath();
  const script = `require('net').createServer().listen(${JSON.stringify(socket)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
  assert.equal((await codeAndSeconds(() => ping(socket))).code, 'engine-unreachable');
});

test('a FIFO or a plain file at the socket path is refused without opening it', async () => {
  const fifo = socketPath();
  execFileSync('mkfifo', [fifo]);
  const file = socketPath();
  await writeFile(file, 'x');
  for (const path of [fifo, file]) {
    const { code, seconds } = await codeAndSeconds(() => ping(path));
    assert.equal(code, 'engine-refused');
    assert.ok(seconds < 1);
  }
});

test('a path too long for a socket fails and does not crash', async (t) => {
  const deep = join(folder, 'x'.repeat(120));
  await mkdir(deep);
  const meddler = await startMeddler(t, socketPath(), undefined, () => 'hang');
  await rename(meddler.socket, join(deep, 's'));
  assert.equal((await codeAndSeconds(() => ping(join(deep, 's')))).code, 'engine-unreachable');
});

test('an engine that accepts and never answers ends by the deadline', async (t) => {
  const meddler = await startMeddler(t, socketPath(), undefined, () => 'hang');
  const { code, seconds } = await codeAndSeconds(() => ping(meddler.socket));
  assert.equal(code, 'deadline');
  assert.ok(seconds < 5, `${seconds} s`);
});

test('a call is ended by its signal', async (t) => {
  const meddler = await startMeddler(t, socketPath(), undefined, () => 'hang');
  const engine = await openDocker(meddler.socket);
  const { code, seconds } = await codeAndSeconds(() => engine.info(AbortSignal.timeout(100)));
  assert.equal(code, 'aborted');
  assert.ok(seconds < 2, `${seconds} s`);
});

test('what does not speak HTTP, or not Docker, is refused', async (t) => {
  const answers = [
    Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'),
    Buffer.from([0, 1, 2, 255, 254]),
    httpAnswer('<html>hello</html>'),
    Buffer.from('HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n'),
  ];
  for (const answer of answers) {
    const meddler = await startMeddler(t, socketPath(), undefined, () => answer);
    assert.equal((await codeAndSeconds(() => ping(meddler.socket))).code, 'engine-refused', answer.toString());
  }
});

test('a connection closed without an answer is unreachable', async (t) => {
  const meddler = await startMeddler(t, socketPath(), undefined, () => Buffer.alloc(0));
  assert.equal((await codeAndSeconds(() => ping(meddler.socket))).code, 'engine-unreachable');
});

test("an engine's error keeps its status and its words", async (t) => {
  const answer = httpAnswer('{"message":"no such thing"}', '404 Not Found');
  const meddler = await startMeddler(t, socketPath(), undefined, () => answer);
  const engine = await openDocker(meddler.socket);
  const { code, error } = await codeAndSeconds(() => engine.inspect('abc', signal));
  assert.equal(code, 'engine-refused');
  assert.deepEqual(engineStatus(error), { status: 404, message: 'no such thing' });
});

test('a redirect is not followed, whatever it points at', async (t) => {
  let visits = 0;
  const elsewhere = createHttpServer((_request, response) => {
    visits++;
    response.end('OK');
  });
  await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
  const address = elsewhere.address();
  assert.ok(typeof address === 'object' && address !== null);
  for (const location of [`http://127.0.0.1:${address.port}/`, 'gopher://x/', '//', '/_ping']) {
    const answer = httpAnswer('', '302 Found', `Location: ${location}\r\n`);
    const meddler = await startMeddler(t, socketPath(), undefined, () => answer);
    assert.equal((await codeAndSeconds(() => ping(meddler.socket))).code, 'engine-refused');
  }
  elsewhere.close();
  assert.equal(visits, 0);
});

/** Answers without end; says how many bytes it could send. */
async function endless(piece: Buffer): Promise<{ socket: string; stop: () => number }> {
  const socket = socketPath();
  let sent = 0;
  const open = new Set<Socket>();
  const server = createServer((client) => {
    open.add(client);
    client.on('error', () => client.destroy());
    client.once('data', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n[');
      const pour = (): void => {
        while (!client.destroyed) {
          sent += piece.length;
          if (!client.write(piece)) return;
        }
      };
      client.on('drain', pour);
      pour();
    });
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const stop = (): number => {
    for (const client of open) client.destroy();
    server.close();
    return sent;
  };
  return { socket, stop };
}

test('an endless answer is read to its bound only', async () => {
  const { socket, stop } = await endless(Buffer.alloc(65_536, 0x20));
  const engine = await openDocker(socket);
  const { code, seconds } = await codeAndSeconds(() => engine.containers(signal));
  const sent = stop();
  assert.equal(code, 'content-too-large');
  assert.ok(seconds < 10, `${seconds} s`);
  assert.ok(sent < 20 * 1_048_576, `${sent} bytes`);
});

test('of an endless list of changes the first part is kept', async () => {
  const { socket, stop } = await endless(Buffer.from('{"Path":"/a","Kind":1},'.repeat(1000)));
  const engine = await openDocker(socket);
  const answer = await engine.changes('abc', signal);
  stop();
  assert.equal(answer.raw.length, 8 * 1_048_576);
  assert.match(answer.cut ?? '', /only the first 8388608 bytes/);
});

test('the permission of the socket is named with its remedy', async (t) => {
  const meddler = await startMeddler(t, socketPath(), undefined, () => 'hang');
  await chmod(meddler.socket, 0o600);
  await chmod(folder, 0o755);
  if (process.getuid?.() !== 0) return t.skip('only root can become somebody who may not');
  process.seteuid?.(65_534);
  try {
    const { code, error } = await codeAndSeconds(() => ping(meddler.socket));
    assert.equal(code, 'engine-refused');
    assert.match(String(error), /run as root/);
  } finally {
    process.seteuid?.(0);
  }
});

test('a real engine is asked whatever DOCKER_HOST says, and its answers come byte for byte', async (t) => {
  if (!needs(t, 'dockerd', 'docker', 'busybox')) return;
  const bed = await startDockerd();
  const before = process.env.DOCKER_HOST;
  process.env.DOCKER_HOST = 'tcp://127.0.0.1:9';
  try {
    const engine = await openDocker(bed.socket);
    assert.equal((await engine.ping(signal)).raw.toString(), 'OK');
    assert.deepEqual((await engine.version(signal)).raw, await rawBody(bed.socket, '/version'));
    assert.equal(engineStatus((await codeAndSeconds(() => engine.inspect('nobody', signal))).error)?.status, 404);
  } finally {
    if (before === undefined) delete process.env.DOCKER_HOST;
    else process.env.DOCKER_HOST = before;
    await bed.stop();
  }
});

async function rawBody(socketPath: string, path: string): Promise<Buffer> {
  const asking = request({ socketPath, path }).end();
  const [response] = (await once(asking, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return Buffer.concat(chunks);
}
