// Why a node's agent is not heard, as a capture says it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Hearing, hearing } from '../../controller/hearing.ts';
import type { Distrust } from '../../controller/trust.ts';
import type { Logger } from '../../evidence/index.ts';

interface Heard extends Hearing {
  readonly logged: string[];
  distrust: Distrust | undefined;
  denied: string | undefined;
}

function start(): Heard {
  const logged: string[] = [];
  const keep = (message: string, fields = {}): void => void logged.push(`${message} ${JSON.stringify(fields)}`);
  const log: Logger = { debug() {}, info: keep, warn: keep, error: keep };
  const trouble: Pick<Heard, 'distrust' | 'denied'> = { distrust: undefined, denied: undefined };
  const made = hearing({
    ...{ namespace: 'impound-system', log, isWanted: (node) => node === 'node1' },
    distrust: () => trouble.distrust,
    denied: (resource) => (resource === 'tokenreviews' ? trouble.denied : undefined),
  });
  return Object.assign(trouble, made, { logged });
}

test('a certificate that nobody takes comes first, then reviews that are denied, then the agent’s own token', () => {
  const heard = start();
  assert.equal(heard.deaf('node1'), undefined);
  heard.refused({ reason: 'unauthenticated', node: 'node1', pod: 'impound-agent-x' });
  const { reason, message } = heard.deaf('node1') ?? {};
  assert.equal(reason, 'AgentRefused');
  assert.match(message ?? '', /kubectl -n impound-system delete pods .*spec\.nodeName=node1$/);
  heard.denied = 'tokenreviews is forbidden';
  assert.equal(heard.deaf('node1')?.reason, 'TokenReviewDenied');
  assert.equal(heard.deaf('node2')?.reason, 'TokenReviewDenied');
  heard.distrust = { code: 'certificate-expired', message: 'it has expired' };
  assert.deepEqual(heard.deaf('node2'), { reason: 'CertificateExpired', message: 'it has expired' });
});

test('a token’s word about its node counts for nodes that are waited for, and no longer than it is said', (t) => {
  const heard = start();
  heard.refused({ reason: 'unauthenticated', node: 'node2', pod: undefined });
  heard.refused({ reason: 'unauthenticated', node: undefined, pod: undefined });
  heard.refused({ reason: 'api-silent', node: 'node1', pod: undefined });
  heard.refused({ reason: 'pod-gone', node: 'node1', pod: 'impound-agent-x' });
  assert.equal(heard.deaf('node1'), undefined);
  assert.equal(heard.deaf('node2'), undefined);
  let now = 1_000_000;
  t.mock.method(performance, 'now', () => now);
  heard.refused({ reason: 'expired', node: 'node1', pod: undefined });
  now += 19_000;
  assert.equal(heard.deaf('node1')?.reason, 'AgentRefused');
  now += 2000;
  assert.equal(heard.deaf('node1'), undefined);
  // whoever goes on with it holds a bundle open for ten minutes and no longer
  for (let seconds = 0; seconds < 700; seconds += 10, now += 10_000)
    heard.refused({ reason: 'expired', node: 'node1', pod: undefined });
  assert.equal(heard.deaf('node1'), undefined);
});

test('each reason is logged once a minute, with how often it came since', (t) => {
  const heard = start();
  let now = 1_000_000;
  t.mock.method(performance, 'now', () => now);
  for (let turn = 0; turn < 5; turn++) heard.refused({ reason: 'expired', node: 'x'.repeat(300), pod: undefined });
  heard.refused({ reason: 'audience', node: undefined, pod: undefined });
  assert.equal(heard.logged.length, 2);
  assert.match(heard.logged[0] ?? '', /"code":"token-refused","reason":"expired","node":"x{100}","more":0/);
  now += 61_000;
  heard.refused({ reason: 'expired', node: 'node9', pod: undefined });
  assert.match(heard.logged[2] ?? '', /"more":4/);
});

test('an agent of another version is said to be one', () => {
  const heard = start();
  heard.unspoken('node1', ['v9']);
  assert.equal(heard.deaf('node1')?.reason, 'AgentVersion');
  assert.match(heard.logged[0] ?? '', /"code":"protocol-unknown","node":"node1","versions":\["v9"\]/);
});
