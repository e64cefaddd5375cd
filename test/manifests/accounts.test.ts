// Service accounts and their rights that are taken away while a capture is under way: said by who is refused, counted, and
// nothing is lost.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileBed } from '../helpers/file-bed.ts';
import {
  begin,
  digests,
  get,
  isReady,
  leader,
  pods,
  says,
  sealedWhole,
  untilLogged,
  untilSaid,
} from '../helpers/installed-captures.ts';
import { deletePods, untilReady } from '../helpers/installed-pods.ts';
import { chainOf } from '../helpers/sealed.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { INSTALLED_COMPONENTS, startInstalled } from '../testbed/installed.ts';

const scenario = await fileBed(INSTALLED_COMPONENTS, () => startInstalled({ after }));
const home = await fileTemporaryFolder();

const WATCH = { watchSeconds: 8 };
/** Under way still when its agent is refused. */
const LONG_WATCH = { watchSeconds: 40 };
/** An API server believes a token for ten seconds after it has looked at it (TokenSuccessCacheTTL of kube-apiserver). */
const BELIEVED_MILLISECONDS = 11_000;

scenario('the agents’ account is made anew: said by agent and capture, and other pods go on', async (installed) => {
  const { cluster, namespace } = installed;
  await begin(installed, 'revoked', LONG_WATCH);
  const before = await digests(installed, await get(installed, 'revoked'));
  await cluster.kubectl('delete', 'serviceaccount', '-n', namespace, 'impound-agent');
  await Promise.all([installed.apply(), sleep(BELIEVED_MILLISECONDS)]);
  // who was known is believed for a minute; who leads next knows nobody
  await cluster.kubectl('delete', 'pod', '-n', namespace, await leader(installed));
  const { error } = await untilLogged(installed, 'agent', 60, says('controller-denied'), 'node1');
  assert.match(String(error), /where the service account was deleted or made anew, replace this pod/);
  const message = await untilSaid(installed, 'revoked', 40, 'AgentRefused');
  assert.match(message, /\(unauthenticated\).*delete pods -l app\.kubernetes\.io\/name=impound-agent --field-selector/);
  const { reason } = await untilLogged(installed, 'controller', 20, says('token-refused'));
  assert.equal(reason, 'unauthenticated');
  const began = performance.now();
  await deletePods(installed, 'agent');
  assert.ok(performance.now() - began < 30_000, 'an agent that nobody hears does not insist when it is to end');
  const sealed = await sealedWhole(installed, 'revoked', home, before);
  assert.equal(sealed.status?.session, 2);
});

scenario(
  'the controller loses its rights: it says which, is not ready, and goes on with them',
  async (installed, t) => {
    t.after(() => installed.apply());
    const { cluster } = installed;
    await begin(installed, 'unbound', WATCH);
    const before = await digests(installed, await get(installed, 'unbound'));
    const leads = await leader(installed);
    await cluster.kubectl('delete', 'clusterrolebinding', 'impound-controller');
    const { message, error } = await untilLogged(installed, 'controller', 30, says('api-denied'));
    assert.match(String(error), /cannot [a-z]+ resource "[a-z/]+" in API group/);
    assert.match(message, /apply manifests\/base\/rbac\.yaml/);
    for (const end = Date.now() + 40_000; ; await sleep(500)) {
      const one = (await pods(installed, 'controller')).find(({ metadata }) => metadata.name === leads);
      if (one !== undefined && !isReady(one)) break;
      assert.ok(Date.now() < end, 'it is ready still');
    }
    await installed.apply();
    const sealed = await sealedWhole(installed, 'unbound', home, before);
    assert.equal(sealed.status?.session, 1);
    await untilReady(installed, 40, 2);
  },
);

scenario('the controller’s account is made anew: its pods say what to do, and others go on', async (installed) => {
  const { cluster, namespace } = installed;
  await begin(installed, 'account', WATCH);
  const before = await digests(installed, await get(installed, 'account'));
  const leads = await leader(installed);
  await cluster.kubectl('delete', 'serviceaccount', '-n', namespace, 'impound-controller');
  await installed.apply();
  const { message } = await untilLogged(installed, 'controller', 40, says('api-denied', /Unauthorized/));
  assert.match(message, /the service account was deleted or made anew: apply the manifests, and replace the pods/);
  await untilReady(installed, 60, 0);
  await cluster.kubectl('rollout', 'restart', '-n', namespace, 'deployment/impound-controller');
  await cluster.kubectl('rollout', 'status', '-n', namespace, 'deployment/impound-controller', '--timeout=90s');
  const sealed = await sealedWhole(installed, 'account', home, before);
  assert.equal(sealed.status?.session, 1);
  const signers = (await chainOf(installed, sealed)).map(({ statement }) => statement.predicate.actor.name);
  assert.ok(signers.includes(leads) && new Set(signers).size > 1);
});
