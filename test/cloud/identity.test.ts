// Who is asking, as STS says it; and no error, no wait, where it says nothing.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { callerIdentity } from '../../cloud/index.ts';
import { needs } from '../helpers/component.ts';
import { startProxy } from '../testbed/fault-proxy.ts';
import { MOTO_COMPONENTS, startMoto } from '../testbed/moto.ts';
import { setEnvironment } from './environment.ts';

test('the ARN of the caller, with and without a region', async (t) => {
  if (!needs(t, ...MOTO_COMPONENTS)) return;
  const moto = await startMoto(t);
  const proxy = await startProxy(t, moto.endpoint);
  setEnvironment(t, { AWS_ENDPOINT_URL_STS: proxy.endpoint });
  const arn = /^arn:aws:sts::123456789012:user\/moto$/;
  assert.match((await callerIdentity('eu-central-1')) ?? '', arn);
  assert.match((await callerIdentity()) ?? '', arn);
  const scopes = proxy.seen.map(({ headers }) => /\/([a-z0-9-]+)\/sts\//.exec(headers.authorization ?? '')?.[1]);
  assert.deepEqual(scopes, ['eu-central-1', 'us-east-1']);
});

test('nobody, where there are no credentials or they are refused', async (t) => {
  if (!needs(t, ...MOTO_COMPONENTS)) return;
  const moto = await startMoto(t);
  const proxy = await startProxy(t, moto.endpoint);
  setEnvironment(t, { AWS_ENDPOINT_URL_STS: proxy.endpoint, AWS_ACCESS_KEY_ID: undefined });
  assert.equal(await callerIdentity(), undefined);
  assert.equal(proxy.seen.length, 0);
  setEnvironment(t, { AWS_ENDPOINT_URL_STS: proxy.endpoint });
  proxy.add({ fault: { kind: 'answer', status: 403, code: 'InvalidClientTokenId' } });
  assert.equal(await callerIdentity(), undefined);
  assert.equal(proxy.seen.length, 1, 'not tried again');
});

test('nobody after three seconds, where nothing answers', async (t) => {
  setEnvironment(t, { AWS_ENDPOINT_URL_STS: await silentServer(t) });
  const begun = performance.now();
  assert.equal(await callerIdentity(), undefined);
  const took = performance.now() - begun;
  assert.ok(took > 2900 && took < 5000, `${took} ms`);
});

async function silentServer(t: TestContext): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return `http://127.0.0.1:${address.port}`;
}
