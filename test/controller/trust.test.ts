// A replica knows whether agents would take its certificate, by asking itself as they would.
import assert from 'node:assert/strict';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startServer } from '../../controller/http/server.ts';
import { afterOthers } from '../../controller/standing.ts';
import { type Distrust, watchTrust } from '../../controller/trust.ts';
import { type Logger, systemClock } from '../../evidence/index.ts';
import { makeAuthority, type SignedPair } from '../helpers/authority.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const NAME = 'impound-controller.impound-system.svc';

async function start(t: TestContext, first: (folder: string) => Promise<SignedPair>) {
  const folder = await temporaryFolder(t);
  const tls = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
  const put = async ({ cert, key }: SignedPair): Promise<void> => {
    await copyFile(key, tls.key);
    await copyFile(cert, tls.cert);
  };
  await put(await first(folder));
  const logged: string[] = [];
  const keep = (message: string, fields = {}): void => void logged.push(`${message} ${JSON.stringify(fields)}`);
  const log: Logger = { debug() {}, info: keep, warn: keep, error: keep };
  const server = await startServer({ routes: [], tls, host: '127.0.0.1', port: 0, log });
  const ending = new AbortController();
  const authority = join(folder, 'agents-ca.crt');
  const looks: (Distrust | undefined)[] = [];
  const trust = watchTrust({
    ...{ authority, serverName: NAME, own: { host: '127.0.0.1', port: server.port }, clock: systemClock, log },
    served: () => server.certificates().served,
    looked: (distrust) => void looks.push(distrust),
    signal: ending.signal,
  });
  t.after(async () => {
    ending.abort();
    await trust.ended;
    await server.close(0);
  });
  const until = async (code: Distrust['code'] | undefined): Promise<string> => {
    for (const end = Date.now() + 9000; ; await sleep(50)) {
      const found = trust.distrust();
      if (looks.length > 0 && found?.code === code) return found?.message ?? '';
      assert.ok(Date.now() < end, `${found?.code} and not ${code}`);
    }
  };
  return { folder, authority, put, logged, trust, until };
}

test('it says which authority agents lack, and doubts for a while after they are given it', async (t) => {
  const made = await temporaryFolder(t);
  const [old, next] = await Promise.all([makeAuthority(made, 'old'), makeAuthority(made, 'next')]);
  const own = await next.sign('own', `DNS:${NAME}`);
  const unknown = await start(t, () => Promise.resolve(own));
  await unknown.until(undefined);
  assert.equal(unknown.trust.lately(), undefined, 'what agents are given is not known: nothing is said');
  assert.deepEqual(unknown.logged, []);
  const found = await start(t, async (folder) => {
    await copyFile(old.ca, join(folder, 'agents-ca.crt'));
    return own;
  });
  const message = await found.until('certificate-untrusted');
  assert.match(message, /issued by "CN=next", is of no authority in the ConfigMap impound-ca: put that authority's/);
  assert.match(found.logged.join('\n'), /"code":"certificate-untrusted","subject":"CN=own","issuer":"CN=next"/);
  await copyFile(next.ca, found.authority);
  await found.until(undefined);
  assert.match(found.trust.lately()?.message ?? '', /agents read it within two minutes/);

  await found.put(await next.sign('elsewhere', 'DNS:elsewhere'));
  assert.match(await found.until('certificate-untrusted'), new RegExp(`is not for ${NAME}, as agents call it`));
  await found.put(own);
  await found.until(undefined);
});

test('one that has expired is said to have, whoever signed it', async (t) => {
  const made = await temporaryFolder(t);
  const authority = await makeAuthority(made, 'authority');
  const { until, put, trust } = await start(t, () => authority.sign('old', `DNS:${NAME}`, -1));
  assert.match(await until('certificate-expired'), /has expired \(20.*put a valid one into the Secret/);
  await put(await authority.sign('good', `DNS:${NAME}`));
  await until(undefined);
  assert.equal(trust.lately(), undefined, 'agents need nothing new');
});

test('who is not taken leads only where nobody else has for ten seconds', async () => {
  let [taken, leads] = [false, true];
  const turn = afterOthers(
    () => taken,
    () => leads,
  );
  turn.look();
  assert.equal(turn.may(), false);
  leads = false;
  await sleep(9000);
  turn.look();
  assert.equal(turn.may(), false);
  taken = true;
  assert.equal(turn.may(), true);
  taken = false;
  await sleep(1200);
  assert.equal(turn.may(), true);
  leads = true;
  turn.look();
  assert.equal(turn.may(), false);
});
