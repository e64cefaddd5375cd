// make cluster-demo: from nothing, a cluster with Impound in it as its manifests install it; an intruder in a pod; captured,
// pulled, verified, released; and all of it taken down again. With `--set-up` it first installs what it needs.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lastLine } from '../helpers/cli.ts';
import { missing } from '../helpers/component.ts';
import { peopleOf } from '../helpers/people.ts';
import { INSTALLED_COMPONENTS, type Installed, startInstalled } from '../testbed/installed.ts';
import { intrude, TRACES, VICTIM } from './intrusion.ts';
import { type Steps, steps } from './steps.ts';

const SUSPECT = 'node1';
const NAME = 'drill';
const STEPS = 10;

interface NodeObject {
  readonly spec: { readonly unschedulable?: boolean; readonly taints?: readonly { readonly key: string }[] };
}

/** Exit status. */
async function demonstrate(): Promise<number> {
  if (process.argv.includes('--set-up')) setUp();
  const lacking = missing(INSTALLED_COMPONENTS);
  if (lacking !== undefined) {
    process.stderr.write(`the demonstration needs what this machine lacks: ${lacking}\n`);
    return 2;
  }
  const home = await mkdtemp(join(tmpdir(), 'impound-demo-'));
  const ends: (() => unknown)[] = [() => rm(home, { recursive: true, force: true })];
  const shown = steps(STEPS, home);
  try {
    const stopped = Promise.withResolvers<never>();
    process.once('SIGINT', () => stopped.reject(new Error('stopped')));
    await Promise.race([play(shown, home, (end) => void ends.push(end)), stopped.promise]);
  } finally {
    await shown.step('Everything is taken down', async () => {
      for (const end of ends.reverse()) await end();
    });
  }
  process.stdout.write('\nall of it worked\n');
  return 0;
}

function setUp(): void {
  const program = join(import.meta.dirname, '../testbed/setup.ts');
  spawnSync(process.execPath, [program, ...INSTALLED_COMPONENTS], { stdio: 'inherit' });
}

async function play({ step, say, impound }: Steps, home: string, after: (end: () => unknown) => void): Promise<void> {
  const installed = await step('A cluster of three nodes, a store with Object Lock, Impound from its manifests', () =>
    startInstalled({ after }),
  );
  const { cluster } = installed;
  say('controllers and agents run as pods of the built images');

  const people = await step('A responder, an analyst and who may release, by the roles of the manifests', async () => {
    const { person } = await peopleOf(cluster, home);
    const [rita, anna, rolf] = await Promise.all([
      person('rita', 'impound-responder', 'impound-analyst'),
      person('anna', 'impound-analyst'),
      person('rolf', 'impound-releaser'),
    ]);
    return { rita, anna, rolf };
  });
  const before = await nodeOf(installed);

  await step('Would a capture work?', () => impound(['check'], people.rita));

  await step(`An intruder in pod ${VICTIM.namespace}/${VICTIM.name} on ${SUSPECT}`, () => intrude(cluster, SUSPECT));

  const captured = await step(`${SUSPECT} is captured`, () => {
    const suspect = `pod:${VICTIM.namespace}/${VICTIM.name}`;
    const words = ['capture', SUSPECT, '--name', NAME, '--reason', 'beaconing to 203.0.113.9', '--case', 'IR-7'];
    return impound(
      [...words, '--suspect', suspect, '--watch', '2', '--encryption', 'none', '--skip', 'timeline'],
      people.rita,
    );
  });
  for (const [what, pattern] of TRACES) {
    assert.match(captured.stdout, pattern);
    say(`seen: ${what}`);
  }
  const while_ = await nodeOf(installed);
  assert.equal(while_.unschedulable, true);
  say(`${SUSPECT} takes no new pods, and is held until it is released`);

  await step('What there is', () => impound(['list'], people.anna));

  const pulled = await step('The analyst pulls the bundle, with nothing but a kubeconfig', () =>
    impound(['pull', NAME, join(home, 'case'), '--reason', 'triage of IR-7'], people.anna),
  );

  await step('The bundle is verified, against the controller’s key and the head that was printed', () => {
    const head = /^head {7}(\S+)/m.exec(captured.stdout)?.[1] ?? assert.fail('no head was printed');
    return impound(['verify', lastLine(pulled), '--strict', '--key', installed.publicKey, '--head', head], people.anna);
  });

  await step('The node is given back', () => impound(['release', NAME], people.rolf));
  assert.deepEqual(await nodeOf(installed), before);
  say(`${SUSPECT} is as it was; the evidence stays`);
}

async function nodeOf({ cluster }: Installed) {
  const { spec } = (await cluster.api('GET', `/api/v1/nodes/${SUSPECT}`)) as NodeObject;
  return { unschedulable: spec.unschedulable ?? false, taints: (spec.taints ?? []).map(({ key }) => key).sort() };
}

process.exitCode = await demonstrate();
