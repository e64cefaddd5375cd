// Agents that fall silent: stopped, cut off, killed, never there. It is said in time, and what exists is sealed; one that
// comes back goes on.
import assert from 'node:assert/strict';
import { after, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeCapture } from '../../protocol/index.ts';
import { begin, collected, untilComplete } from '../helpers/captures.ts';
import { fileBed } from '../helpers/file-bed.ts';
import { chainOf, coverageOf, gapsOf, notes, verified } from '../helpers/sealed.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { IMPOUND_COMPONENTS, type Impound, startImpound } from '../testbed/impound.ts';

const scenario = await fileBed(IMPOUND_COMPONENTS, () => startImpound({ after }, { agents: ['node1', 'node3'] }));
const home = await fileTemporaryFolder();

const CUT = `table inet cut {
  chain out {
    type filter hook output priority -1;
    tcp dport 8443 drop
  }
}
`;

const isSilent = (capture: NodeCapture): boolean => collected(capture)?.reason === 'AgentSilent';

const watching = (impound: Impound, name: string, node: string): Promise<void> =>
  begin(impound, name, { node, watchSeconds: 40 });

/** Said within 20 s (and a look), sealed 60 s after the last word; verifies. */
async function sealsSilent(impound: Impound, name: string): Promise<NodeCapture> {
  const began = performance.now();
  await impound.until(name, 27, isSilent);
  const said = (performance.now() - began) / 1000;
  assert.ok(said > 12, `said after ${said} s`);
  const sealed = await impound.untilPhase(name, 75, 'Sealed', 'Failed', 'Cancelled');
  const whole = (performance.now() - began) / 1000;
  assert.ok(whole > 50, `sealed after ${whole} s`);
  assert.equal(sealed.status?.phase, 'Sealed', JSON.stringify(sealed.status));
  const { code, stdout } = await verified(impound, sealed, home);
  assert.equal(code, 0, stdout);
  const chain = await chainOf(impound, sealed);
  assert.equal(notes(chain, 'agent-silent').length, 1);
  assert.equal(collected(sealed)?.status, 'False');
  assert.ok(isSilent(sealed));
  assert.match(await impound.cluster.kubectl('get', 'events', '-n', 'default'), new RegExp(`AgentSilent.*${name}`));
  return sealed;
}

async function goesOn(impound: Impound, name: string, node: string): Promise<void> {
  await impound.capture(name, { node, profile: 'quick' });
  await untilComplete(impound, name, home, 60);
  await impound.patch(name, { release: true });
}

const crashed = async (impound: Impound, capture: NodeCapture): Promise<readonly string[]> =>
  (await gapsOf(impound, capture)).filter(({ reason }) => reason === 'crashed').map(({ collector }) => collector);

describe('agents fall silent', { concurrency: true }, () => {
  describe('of one node', { concurrency: 1 }, () => {
    scenario('stopped in its tracks, it is said and sealed; resumed, it asks for work again', async (impound) => {
      await watching(impound, 'stopped', 'node1');
      const { program } = impound.agent('node1');
      program.pause();
      try {
        const sealed = await sealsSilent(impound, 'stopped');
        assert.ok((await crashed(impound, sealed)).length > 0);
      } finally {
        program.resume();
      }
      await goesOn(impound, 'after-stopped', 'node1');
      const { code, stdout } = await verified(impound, await impound.get('stopped'), home);
      assert.equal(code, 0, stdout); // what was on its way when it was stopped has not come in
    });

    scenario('cut off for a while, it goes on in its session, and both are on the chain', async (impound) => {
      await watching(impound, 'cut-off', 'node1');
      await impound.cluster.run('node1', ['nft', '-f', '-'], { input: CUT });
      try {
        await impound.until('cut-off', 27, isSilent);
        await sleep(10_000);
      } finally {
        await impound.cluster.run('node1', ['nft', 'delete table inet cut']);
      }
      const sealed = await untilComplete(impound, 'cut-off', home);
      assert.equal(sealed.status?.session, 1);
      const chain = await chainOf(impound, sealed);
      assert.equal(notes(chain, 'agent-silent').length, 1);
      assert.equal(notes(chain, 'agent-heard-again').length, 1);
    });
  });

  describe('of another', { concurrency: 1 }, () => {
    scenario('never there, the whole of its part is a gap', async (impound) => {
      const { program } = impound.agent('node3');
      await program.kill();
      await impound.capture('never', { node: 'node3' });
      const sealed = await sealsSilent(impound, 'never');
      const absent = (await gapsOf(impound, sealed)).filter(({ collector }) => collector === 'agent');
      assert.deepEqual(
        absent.map(({ reason, names }) => ({ reason, names })),
        [{ reason: 'absent', names: ['node3'] }],
      );
      assert.equal(sealed.status?.session, undefined);
      assert.match(collected(sealed)?.message ?? '', /no agent began/);
      await program.start();
    });

    scenario('killed and started again, it makes what was cut off anew, and what counts is said', async (impound) => {
      await watching(impound, 'again', 'node3');
      const { program } = impound.agent('node3');
      await program.kill();
      await program.start();
      const sealed = await untilComplete(impound, 'again', home, 150);
      assert.equal(sealed.status?.session, 2);
      const { collectors, counts } = await coverageOf(impound, sealed);
      const second = collectors.filter(({ session, collector }) => session === 2 && collector !== 'kubernetes');
      assert.ok(second.length > 0);
      const unfinished = collectors.filter(({ session, outcome }) => session === 1 && outcome === 'unfinished');
      assert.deepEqual(
        unfinished.map(({ collector }) => collector).filter((name) => !second.some((one) => one.collector === name)),
        [],
      );
      for (const path of Object.values(counts)) assert.match(path, /\.2\./);
    });

    scenario('ended in order, as for another version of it, its next try makes the rest', async (impound) => {
      await watching(impound, 'upgraded', 'node3');
      const { program } = impound.agent('node3');
      assert.equal(await program.kill('SIGTERM'), 0);
      const { outcome } = notes(await chainOf(impound, await impound.get('upgraded')), 'session-ended')[0] ?? {};
      assert.equal(outcome, 'aborted');
      await program.start();
      const sealed = await untilComplete(impound, 'upgraded', home, 150);
      assert.equal(sealed.status?.session, 2);
      assert.deepEqual(await crashed(impound, sealed), []);
    });

    scenario('killed for good, what it had sent is sealed', async (impound) => {
      await watching(impound, 'killed', 'node3');
      await impound.agent('node3').program.kill();
      const sealed = await sealsSilent(impound, 'killed');
      assert.ok((await crashed(impound, sealed)).length > 0);
      assert.ok((sealed.status?.artefacts ?? 0) > 5);
      await impound.agent('node3').program.start();
      await goesOn(impound, 'after-killed', 'node3');
    });
  });
});
