// Outages that last: nobody leads, or the leader has no store. The agent waits, and the capture goes on where it was.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { begin, untilComplete } from '../helpers/captures.ts';
import { fileBed } from '../helpers/file-bed.ts';
import { untilLeads } from '../helpers/replicas.ts';
import { chainOf, notes } from '../helpers/sealed.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { IMPOUND_COMPONENTS, type Impound, startImpound } from '../testbed/impound.ts';

const REPLICAS = ['node2', 'node3'] as const;
const SHORT = { grantSeconds: 10 };
const WATCH = { watchSeconds: 25 };

const scenario = await fileBed(IMPOUND_COMPONENTS, () =>
  startImpound({ after }, { controllers: REPLICAS, config: (file) => ({ ...file, agents: SHORT }) }),
);
const home = await fileTemporaryFolder();

/** By the one session that began, with its end on the chain. */
async function goesOn(impound: Impound, name: string): Promise<void> {
  const sealed = await untilComplete(impound, name, home, 150);
  assert.equal(sealed.status?.session, 1);
  const [end] = notes(await chainOf(impound, sealed), 'session-ended');
  assert.equal(end?.outcome, 'complete');
  await impound.patch(name, { release: true });
  await impound.untilPhase(name, 30, 'Released');
}

scenario('the API server is away for 30 s: nobody leads, and the agent goes on afterwards', async (impound) => {
  await begin(impound, 'leaderless', WATCH);
  await impound.cluster.apiServer.kill();
  await sleep(30_000);
  await impound.cluster.apiServer.start();
  await untilLeads(impound, ...REPLICAS);
  await goesOn(impound, 'leaderless');
});

scenario(
  'the leader dies while the store is away: the next one waits for it, and so does the agent',
  async (impound) => {
    const leader = await untilLeads(impound, ...REPLICAS);
    await begin(impound, 'storeless', WATCH);
    await impound.s3.kill();
    await impound.controller(leader).kill();
    await untilLeads(impound, ...REPLICAS.filter((node) => node !== leader));
    await sleep(8000);
    await impound.s3.start();
    await impound.controller(leader).start();
    await goesOn(impound, 'storeless');
  },
);

scenario('an agent that ended before the leader died is not waited for', async (impound) => {
  const leader = await untilLeads(impound, ...REPLICAS);
  await impound.capture('ended', { profile: 'quick' });
  await impound.untilPhase('ended', 60, 'Sealing', 'Sealed');
  await Promise.all(REPLICAS.map((node) => impound.controller(node).kill()));
  const began = performance.now();
  await Promise.all(REPLICAS.map((node) => impound.controller(node).start()));
  await goesOn(impound, 'ended');
  const seconds = (performance.now() - began) / 1000;
  assert.ok(seconds < 50, `sealed and released ${seconds} s after ${leader} had died`);
});
