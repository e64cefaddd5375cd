// What an agent says of a controller that it cannot ask: which certificate it was shown, and what a person must do.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Link, openLink } from '../../../agent/remote/link.ts';
import { Problem } from '../../../controller/http/problem.ts';
import type { Reply, Route } from '../../../controller/http/route.ts';
import { startServer } from '../../../controller/http/server.ts';
import { ImpoundError, type Logger } from '../../../evidence/index.ts';
import { type Authority, makeAuthority } from '../../helpers/authority.ts';
import { fileTemporaryFolder } from '../../helpers/temporary.ts';

const folder = await fileTemporaryFolder();
const [known, other] = await Promise.all([makeAuthority(folder, 'known'), makeAuthority(folder, 'other')]);
const NAME = 'DNS:localhost';

interface Asked {
  readonly link: Link;
  readonly logged: string[];
  /** Of the agent. */
  readonly ca: string;
  /** Its file. */
  readonly token: string;
  readonly serve: (authority: Authority, days?: number, name?: string) => Promise<void>;
  readonly ending: AbortController;
}

/** A controller of the test's own, its answers by `answer`, and a link to it that trusts `known`. */
async function start(t: TestContext, answer: (token: string | undefined) => Reply): Promise<Asked> {
  const own = join(folder, randomBytes(4).toString('hex'));
  const tls = { cert: `${own}.crt`, key: `${own}.key` };
  const [ca, token] = [`${own}.ca`, `${own}.token`];
  const serve: Asked['serve'] = async (authority, days, name = NAME) => {
    const made = await authority.sign('controller', name, days);
    await copyFile(made.key, tls.key);
    await copyFile(made.cert, tls.cert);
  };
  await serve(known);
  await copyFile(known.ca, ca);
  await writeFile(token, 'a.b.c');
  const routes: Route[] = ['poll', 'captures/{uid}/calls'].map((path) => ({
    ...{ method: 'POST', path: `/agent/v1/${path}`, name: path, handle: async (call) => answer(call.token) },
  }));
  const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };
  // its clock stands where all certificates are good, so that it takes what it is given
  const clock = { now: () => new Date(Date.now() - 2 * 24 * 3600_000) };
  const server = await startServer({ routes, tls, host: '127.0.0.1', port: 0, log: silent, clock });
  const logged: string[] = [];
  const keep = (message: string, fields = {}): void => void logged.push(`${message} ${JSON.stringify(fields)}`);
  const log: Logger = { debug() {}, info: keep, warn: keep, error: keep };
  const ending = new AbortController();
  const url = `https://localhost:${server.port}`;
  const link = await openLink({ url, ca, token, software: 'a test', log, signal: ending.signal });
  t.after(async () => {
    link.close();
    await server.close(0);
  });
  return { link, logged, ca, token, serve, ending };
}

const NOTHING = (): Reply => ({ json: { version: 'v1', capture: null } });
const poll = (link: Link) => link.poll(AbortSignal.timeout(20_000));

async function refused(link: Link): Promise<ImpoundError> {
  const error: unknown = await poll(link).then(
    () => assert.fail('it answered'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ImpoundError, String(error));
  return error;
}

/** Until the server has read its certificate again, and the link its authority. */
async function until<T>(seconds: number, look: () => Promise<T | undefined>): Promise<T> {
  for (const end = Date.now() + seconds * 1000; ; await sleep(200)) {
    const found = await look();
    if (found !== undefined) return found;
    assert.ok(Date.now() < end, `not within ${seconds} s`);
  }
}

const untrusted = (link: Link) => async () => {
  const error = await poll(link).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof ImpoundError && error.code === 'controller-untrusted' ? error : undefined;
};

test('an expired certificate is named with its dates, and it goes on when another is there', async (t) => {
  const { link, logged, serve } = await start(t, NOTHING);
  await poll(link);
  await serve(known, -1);
  link.close(); // connections that are open stay so
  const { message } = await until(6, untrusted(link));
  assert.match(message, /has expired, by this node's clock: put a valid one into the Secret impound-controller-tls/);
  const line = await until(3, async () => logged.find((one) => one.includes('cannot be asked')));
  assert.match(
    line,
    /"code":"controller-untrusted".*"shown":\{"subject":"CN=controller","issuer":"CN=known",.*"validUntil"/,
  );
  await until(2, untrusted(link));
  assert.equal(logged.length, 1, 'it is not said each time');
  await serve(known);
  await until(6, async () => ((await untrusted(link)()) === undefined ? true : undefined));
  assert.match(logged[1] ?? '', /^the controller answers again \{"seconds":\d/);
});

test('another authority’s certificate is told from its own, until it is given that authority too', async (t) => {
  const { link, logged, serve, ca } = await start(t, NOTHING);
  await serve(other);
  const { message } = await until(6, untrusted(link));
  assert.match(message, /of none of the authorities that this agent is given: .*ConfigMap impound-ca, beside/);
  const line = await until(3, async () => logged.find((one) => one.includes('cannot be asked')));
  assert.match(line, /"issuer":"CN=other".*"taken":\[\{"subject":"CN=known"/);
  await writeFile(ca, `${await readFile(known.ca, 'utf8')}${await readFile(other.ca, 'utf8')}`);
  await until(15, async () => ((await untrusted(link)()) === undefined ? true : undefined));
});

test('a certificate for another name is said to be one', async (t) => {
  const { link, serve } = await start(t, NOTHING);
  await serve(known, 30, 'DNS:elsewhere');
  const { message } = await until(6, untrusted(link));
  assert.match(message, /is not for the name that this agent calls it by.*ERR_TLS_CERT_ALTNAME_INVALID/);
});

test('a token is read once for many requests, and again where it is not taken', async (t) => {
  let taken = 'a.b.c';
  const { link, token } = await start(t, (sent) => {
    if (sent !== taken) throw new Problem(401, 'unauthenticated', 'another one is expected');
    return NOTHING();
  });
  await poll(link);
  await writeFile(token, 'd.e.f');
  await poll(link);
  taken = 'd.e.f';
  assert.equal((await refused(link)).code, 'controller-denied');
  await poll(link);
});

test('a token that is not taken: the pod is to be replaced; one that is told to end does not insist', async (t) => {
  const { link, ending, logged } = await start(t, () => {
    throw new Problem(401, 'unauthenticated', 'nobody vouches for this token');
  });
  const { code, message } = await refused(link);
  assert.equal(code, 'controller-denied');
  assert.match(message, /does not take this agent's token: .*replace this pod \(nobody vouches for this token\)/);
  const calls = link.calls('00000000-0000-4000-8000-000000000000', 1, []);
  calls.catch(() => undefined);
  await until(10, async () => logged.find((one) => /cannot be asked.*"code":"controller-denied"/.test(one)));
  const began = performance.now();
  ending.abort();
  await assert.rejects(calls, { code: 'controller-denied' });
  assert.ok(performance.now() - began < 6000);
});

test('a controller of another version says so, and is asked again: a replica of this one may answer', async (t) => {
  let asked = 0;
  const { link } = await start(t, () => {
    if (++asked < 4)
      throw new Problem(404, 'protocol-unknown', 'the agent protocol is spoken in v2', { versions: ['v2'] });
    return { json: { results: [], stop: null } };
  });
  const { code, message } = await refused(link);
  assert.equal(code, 'controller-refused');
  assert.match(message, /spoken in v2; this agent speaks v1: roll out the DaemonSet and the Deployment/);
  await link.calls('00000000-0000-4000-8000-000000000000', 1, []);
  assert.equal(asked, 4);
});
