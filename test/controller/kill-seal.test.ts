// A controller that dies at any step of sealing a bundle: whoever comes next ends with one that verifies.
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { AGENT_LIMITS } from '../../controller/agents/limits.ts';
import { LiveCapture } from '../../controller/captures/live.ts';
import { makeTurns } from '../../controller/turns.ts';
import { bundleId, DirectoryStore, readChain, systemClock, verifyBundle } from '../../evidence/index.ts';
import { parseNodeCapture } from '../../protocol/index.ts';
import { newSigner, silentLog } from '../helpers/bundle.ts';
import { crashingAt } from '../helpers/crash-points.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const identity = { username: 'agent', node: 'node1', nodeUid: randomUUID(), pod: 'agent-1', podUid: randomUUID() };
const signer = newSigner();

async function captureIn(folder: string) {
  const capture = parseNodeCapture({
    apiVersion: 'impound.dev/v1alpha1',
    kind: 'NodeCapture',
    metadata: { name: 'c', uid: randomUUID(), resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { node: 'node1', requestedBy: 'me', reason: 'a test', encryption: { none: true } },
  });
  const bundle = bundleId(new Date());
  const store = () => new DirectoryStore({ root: join(folder, bundle), partial: join(folder, bundle, '.partial') });
  const open = async () => {
    const own = store();
    await own.prepare();
    const receiver = { url: 'https://controller/bytes', secret: Buffer.alloc(32) };
    const custody = {
      ...{ store: own, signer, clock: systemClock, software: 'a test' },
      actor: { kind: 'controller', name: 'c', node: 'node2' } as const,
    };
    return LiveCapture.open({
      ...{
        capture,
        bundle,
        custody,
        limits: AGENT_LIMITS,
        turns: makeTurns({ atOnce: 8, begin: 8, wake: () => undefined }),
        tsa: [],
        log: silentLog,
      },
      uploads: own.uploads({ seconds: 10, receiver }),
      refused: () => undefined,
      changed: () => undefined,
    });
  };
  return { open, store };
}

/** With an agent that announced two collectors, and claimed what it never sent. */
async function begin(live: LiveCapture): Promise<void> {
  const { number } = await live.begin(identity, {
    nonce: 'a'.repeat(32),
    software: 'x',
    collectors: ['host', 'clock'],
  });
  const sha256 = createHash('sha256').update('never sent').digest('hex');
  const path = 'data/00-meta/host.json';
  const results = await live.open(number, identity).calls([{ kind: 'grant-object', path, size: 10, sha256 }]);
  assert.equal(results[0]?.ok, true, JSON.stringify(results));
}

for (const announced of [true, false])
  test(`killed at each step of a seal ${announced ? 'after an agent had begun' : 'where none had'}`, async (t) => {
    const folder = await temporaryFolder(t);
    let steps = 0;
    for (let ended = false; !ended; steps++) {
      const { open, store } = await captureIn(folder);
      const first = await open();
      if (announced) await begin(first);
      ended = await crashingAt(steps, () => first.seal('aborted', [], [])).catch(() => false); // it died
      first.close();
      const second = await open();
      const head = await second.seal('aborted', [], []);
      const report = await verifyBundle(store(), { trusted: [] });
      assert.deepEqual([report.verdict, report.findings], ['intact', []], `step ${steps}`);
      const chain = await readChain(store());
      const actions = chain.map(({ statement }) => statement.predicate.action);
      for (const action of ['grant', 'close', 'seal'])
        assert.equal(actions.filter((one) => one === action).length, 1, `step ${steps}: ${action}`);
      assert.equal(chain.at(-1)?.sha256, head.sha256);
      const absent = chain.filter(({ statement }) =>
        JSON.stringify(statement.predicate.details).includes('no agent began'),
      );
      assert.equal(absent.length, announced ? 0 : 1, `step ${steps}`);
    }
    t.diagnostic(`${steps} steps`);
    assert.ok(steps > 20);
  });
