// impound check of a cluster: all well, and each thing that is not, with the exit status that a script sees.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Ran } from '../helpers/cli.ts';
import { fileBed } from '../helpers/file-bed.ts';
import { IMPOUND_COMPONENTS } from '../testbed/impound.ts';
import { leaderOf, type PeopleBed, standIn, startPeopleBed } from './cluster-bed.ts';

const NODES = ['node1', 'node2', 'node3'];
/** Some look at the controller's certificate again every other second. */
const RELOAD_MILLISECONDS = 5000;

interface Check {
  readonly group: string;
  readonly name: string;
  readonly outcome: string;
  readonly seen: string;
  readonly remedy?: string;
}

interface Checked extends Ran {
  readonly verdict: string;
  readonly checks: readonly Check[];
}

interface Bed extends PeopleBed {
  /** A responder. */
  readonly rita: string;
  check(person: string, ...words: readonly string[]): Promise<Checked>;
}

const scenario = await fileBed(IMPOUND_COMPONENTS, prepare);

async function prepare(): Promise<Bed> {
  const people = await startPeopleBed({ controllers: ['node2', 'node3'], agents: NODES });
  const { impound } = people;
  const leader = await leaderOf(impound);
  const [rita] = await Promise.all([
    people.person('rita', 'impound-responder'),
    standIn(impound, [leader === 'node2' ? 'node3' : 'node2', leader]),
    impound.cluster.apply(daemonSet(impound.namespace)),
    certify(people, 90),
  ]);
  await sleep(RELOAD_MILLISECONDS);
  return {
    ...people,
    rita,
    async check(person, ...words) {
      const ran = await people.run(person, 'check', '--json', ...words);
      assert.match(ran.stdout, /^\{.*\}\n$/, ran.stdout + ran.stderr);
      return { ...ran, ...(JSON.parse(ran.stdout) as Pick<Checked, 'verdict' | 'checks'>) };
    },
  };
}

/** Agents here are programs, each with a pod that stands for it: this one places none. */
function daemonSet(namespace: string): object {
  const labels = { app: 'impound-agent' };
  const containers = [{ name: 'agent', image: 'none' }];
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'impound-agent', namespace },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers, nodeSelector: { pool: 'none' } } },
    },
  };
}

/** Gives the controllers a certificate of the bed's authority that ends in so many days. */
async function certify({ impound }: PeopleBed, days: number): Promise<void> {
  const folder = dirname(impound.cluster.admin.ca);
  const file = (name: string): string => join(folder, name);
  const words = ['req', '-x509', '-nodes', '-sha256', '-subj', `/CN=${impound.serverName}`, '-days', String(days)];
  const addresses = impound.cluster.nodes.map(({ address }) => `IP:${address}`).join(',');
  await promisify(execFile)('openssl', [
    ...[...words, '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'],
    ...['-CA', file('ca.crt'), '-CAkey', file('ca.key')],
    ...['-addext', `subjectAltName=DNS:${impound.serverName},${addresses}`, '-addext', 'extendedKeyUsage=serverAuth'],
    ...['-keyout', file('controller.key'), '-out', file('controller.crt')],
  ]);
}

const outcomes = ({ checks }: Checked, outcome: string): readonly string[] =>
  checks.filter((one) => one.outcome === outcome).map(({ name }) => name);
const find = ({ checks }: Checked, name: string, outcome: string): Check => {
  const found = checks.find((one) => one.name === name && one.outcome === outcome);
  return found ?? assert.fail(`no ${outcome} ${name}: ${JSON.stringify(checks, null, 1)}`);
};

scenario('all is well, and each row says what was tried', async (bed) => {
  const checked = await bed.check(bed.rita);
  assert.deepEqual([checked.code, checked.verdict], [0, 'well'], JSON.stringify(checked.checks, null, 1));
  assert.match(find(checked, 'API server', 'ok').seen, /Kubernetes 1\.\d+.*you are system:serviceaccount:default:rita/);
  assert.match(find(checked, 'NodeCapture', 'ok').seen, /with every field of this version/);
  assert.match(find(checked, 'policies', 'ok').seen, /4 admission policies/);
  assert.match(find(checked, 'responder', 'ok').seen, /all of it/);
  assert.match(find(checked, 'releaser', 'note').seen, /may not update nodecaptures.impound.dev\/release/);
  assert.match(find(checked, 'replicas', 'ok').seen, /2 ready, on node\d and node\d/);
  assert.match(find(checked, 'certificate', 'ok').seen, /in 89 days/);
  assert.match(find(checked, 'key', 'ok').seen, /PEM file, [0-9a-f]{16}…: it signs/);
  assert.match(find(checked, 'store', 'ok').seen, /s3:\/\/evidence\/bundles can take evidence/);
  assert.match(find(checked, 'pods', 'ok').seen, /each of 3 nodes/);
  assert.match(find(checked, 'at work', 'ok').seen, /^all 3 at the controller$/);
  assert.match(find(checked, 'clocks', 'ok').seen, /within \d+ ms/);
  assert.match(find(checked, 'way to store', 'ok').seen, /^3 stored a trial object from there/);
  assert.match(find(checked, 'runtime', 'ok').seen, /^a container runtime listens on 3 nodes$/);
  const shown = await bed.run(bed.rita, 'check', '--node', 'node2');
  assert.equal(shown.code, 0, shown.stdout + shown.stderr);
  assert.match(shown.stdout, /^agent of node2\n.*pods +the node has a ready agent\n/m);
  assert.match(shown.stdout, /\n\ncaptures work here/);
});

scenario('who may not look, or not try, is told what could not be asked', async (bed) => {
  const [audrey, anna, nobody] = await Promise.all([
    bed.person('audrey', 'impound-auditor'),
    bed.person('anna', 'impound-analyst'),
    bed.person('nobody'),
  ]);
  const auditor = await bed.check(audrey);
  assert.deepEqual([auditor.code, auditor.verdict], [2, 'unknown']);
  assert.match(find(auditor, 'leader', 'ok').seen, /controller-node\d, heard/);
  assert.match(find(auditor, 'reached', 'unknown').seen, /create or get pods\/portforward in impound-system/);
  assert.match(find(auditor, 'nodes', 'unknown').remedy ?? '', /impound-responder/);
  // she reaches the controller, and may have nothing tried
  const analyst = await bed.check(anna);
  assert.deepEqual([analyst.code, outcomes(analyst, 'trouble')], [2, []]);
  assert.match(find(analyst, 'key', 'unknown').seen, /not tried/);
  assert.match(find(analyst, 'at work', 'ok').seen, /3 at the controller/);
  assert.equal(find(analyst, 'analyst', 'ok').seen, 'yes, all of it');
  const none = await bed.check(nobody);
  assert.deepEqual([none.code, none.verdict], [1, 'troubled']);
  assert.match(
    find(none, 'you', 'trouble').remedy ?? '',
    /create clusterrolebinding \S+ --clusterrole=impound-responder/,
  );
});

scenario('a replica that has just come to lead is given the time to hear of its agents', async (bed) => {
  const { impound } = bed;
  const slow = impound.agent('node1').program;
  const controller = impound.controller(await leaderOf(impound));
  slow.pause();
  await controller.kill('SIGTERM');
  await controller.start();
  await sleep(RELOAD_MILLISECONDS);
  setTimeout(() => slow.resume(), 3000);
  const checked = await bed.check(bed.rita);
  assert.deepEqual([checked.code, outcomes(checked, 'unknown')], [0, []], checked.stdout);
  assert.match(find(checked, 'at work', 'ok').seen, /^all 3 at the controller$/);
});

scenario('a policy that is bound no more is said', async (bed) => {
  const { cluster } = bed.impound;
  const kind = 'validatingadmissionpolicybinding';
  const name = 'requester.nodecaptures.impound.dev';
  const binding = await cluster.kubectl('get', kind, name, '-o', 'json');
  await cluster.kubectl('delete', kind, name);
  const checked = await bed.check(bed.rita);
  assert.deepEqual([checked.code, outcomes(checked, 'trouble')], [1, ['policies']]);
  assert.match(find(checked, 'policies', 'trouble').seen, /requester\.nodecaptures\.impound\.dev is bound no more/);
  const { resourceVersion: _, uid: __, ...metadata } = JSON.parse(binding).metadata;
  await cluster.apply({ ...JSON.parse(binding), metadata });
});

scenario('a certificate near its end is a warning, and then trouble', async (bed) => {
  await certify(bed, 12);
  await sleep(RELOAD_MILLISECONDS);
  const warned = await bed.check(bed.rita);
  assert.deepEqual([warned.code, outcomes(warned, 'warning')], [0, ['certificate']]);
  assert.match(find(warned, 'certificate', 'warning').remedy ?? '', /impound-controller-tls/);
  await certify(bed, 3);
  await sleep(RELOAD_MILLISECONDS);
  const troubled = await bed.check(bed.rita);
  assert.deepEqual([troubled.code, outcomes(troubled, 'trouble')], [1, ['certificate']]);
  await certify(bed, 90);
  await sleep(RELOAD_MILLISECONDS);
});

scenario('a node that does not reach the store is named, though the controller does', async (bed) => {
  const { run, nodes } = bed.impound.cluster;
  const file = JSON.parse(await run('node1', ['cat', bed.impound.configFile])) as { store: { endpoint: string } };
  const { hostname, port } = new URL(file.store.endpoint);
  const rule = `add rule inet cut out ip daddr ${hostname} tcp dport ${port} reject with tcp reset`;
  const chain = 'add chain inet cut out { type filter hook output priority 0; }';
  await run('node1', ['nft', `add table inet cut; ${chain}; ${rule}`]);
  try {
    const checked = await bed.check(bed.rita);
    assert.deepEqual(
      [checked.code, outcomes(checked, 'trouble')],
      [1, ['way to store']],
      JSON.stringify(checked.checks),
    );
    const { seen, remedy } = find(checked, 'way to store', 'trouble');
    assert.match(seen, /^node1: no answer from the store at .*ECONNREFUSED.*\[store-unreachable\]$/);
    assert.match(remedy ?? '', /egress and firewall/);
    assert.match(find(checked, 'way to store', 'ok').seen, /^2 stored/);
    const other = await bed.check(bed.rita, '--node', 'node2');
    assert.equal(other.code, 0, JSON.stringify(other.checks));
  } finally {
    await run('node1', ['nft', 'delete table inet cut']);
  }
  assert.ok(nodes.length === 3);
});

scenario('an agent that hangs, one that is gone, and a node without one', async (bed) => {
  const { impound } = bed;
  const { cluster, namespace } = impound;
  impound.agent('node1').program.pause();
  const hanging = await bed.check(bed.rita);
  impound.agent('node1').program.resume();
  assert.equal(hanging.code, 1);
  assert.match(find(hanging, 'way to store', 'trouble').seen, /^node1: its agent did not say/);
  await impound.agent('node2').program.kill();
  await cluster.kubectl('delete', 'pod', '-n', namespace, impound.agent('node3').pod.name, '--wait=true');
  await impound.agent('node3').program.kill();
  await sleep(6000);
  const checked = await bed.check(bed.rita);
  assert.equal(checked.code, 1);
  const { seen, remedy } = find(checked, 'pods', 'trouble');
  assert.match(seen, /^node3: no agent's pod: the DaemonSet's nodeSelector wants pool=none/);
  assert.match(remedy ?? '', /describe daemonset impound-agent/);
  assert.match(find(checked, 'at work', 'trouble').seen, /^node2: silent since \d+ s$/);
  assert.equal((await bed.check(bed.rita, '--node', 'node1')).code, 0);
  const stranger = await bed.check(bed.rita, '--node', 'nod1');
  assert.match(find(stranger, 'nod1', 'trouble').seen, /no such node; did you mean node1/);
});

scenario('a runtime that is not where the agent looks for it is said before there is a capture', async (bed) => {
  const { containerd = '' } = bed.impound.cluster.nodes.find(({ name }) => name === 'node1') ?? {};
  await rename(containerd, `${containerd}.away`);
  const checked = await bed.check(bed.rita, '--node', 'node1');
  await rename(`${containerd}.away`, containerd);
  const { seen, remedy } = find(checked, 'runtime', 'warning');
  assert.match(seen, /^node1: its agent finds no container runtime/);
  assert.match(remedy ?? '', /--agent-arg=--containerd=SOCKET/);
  assert.match(find(await bed.check(bed.rita, '--node', 'node1'), 'runtime', 'ok').seen, /on 1 node$/);
});

scenario('a store that is away is said by the controller, and by each node', async (bed) => {
  await bed.impound.s3.stop();
  const checked = await bed.check(bed.rita, '--node', 'node1');
  assert.equal(checked.code, 1);
  assert.match(find(checked, 'store', 'trouble').seen, /could not be checked: it does not answer/);
  assert.match(find(checked, 'way to store', 'trouble').seen, /^node1: /);
});

scenario('a controller that is away is said', async (bed) => {
  for (const node of ['node2', 'node3']) await bed.impound.controller(node).kill();
  await sleep(1000);
  const checked = await bed.check(bed.rita);
  assert.equal(checked.code, 1);
  assert.match(find(checked, 'reached', 'trouble').seen, /cannot be reached/);
});
