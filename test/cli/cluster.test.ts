// Captures from the command line: real API server, people with the roles of the manifests, controller and agent.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FINALIZER, type NodeCapture } from '../../protocol/index.ts';
import { ended, type Ran } from '../helpers/cli.ts';
import { fileBed } from '../helpers/file-bed.ts';
import { IMPOUND_COMPONENTS } from '../testbed/impound.ts';
import { type PeopleBed, startPeopleBed } from './cluster-bed.ts';

const RESPONDER = 'system:serviceaccount:default:rita';

interface People {
  readonly rita: string;
  readonly audrey: string;
  readonly rolf: string;
  /** Asks for captures, and may not look at anything else. */
  readonly bea: string;
}

/** A role of the administrator's own, for who is not to see nodes. */
const BARE = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRole',
  metadata: { name: 'bare' },
  rules: [
    { apiGroups: ['impound.dev'], resources: ['nodecaptures'], verbs: ['create', 'get', 'list', 'watch', 'patch'] },
  ],
};

async function invite({ impound, person }: PeopleBed): Promise<People> {
  await impound.cluster.apply(BARE);
  const [rita, audrey, rolf, bea] = await Promise.all([
    person('rita', 'impound-responder'),
    person('audrey', 'impound-auditor'),
    person('rolf', 'impound-releaser'),
    person('bea', 'bare'),
  ]);
  return { rita, audrey, rolf, bea };
}

const started = await fileBed(IMPOUND_COMPONENTS, async () => {
  const bed = await startPeopleBed();
  return { bed, people: await invite(bed) };
});
const scenario = (name: string, work: (bed: PeopleBed, people: People) => Promise<void>): void =>
  started(name, ({ bed, people }) => work(bed, people));

const SHORT = ['--collector', 'host', '--collector', 'processes', '--watch', '0', '--encryption', 'none'];
const LONG = ['--collector', 'host', '--collector', 'flows', '--watch', '60', '--encryption', 'none'];
const all = ({ stdout, stderr }: Ran): string => `${stdout}${stderr}`;
const linesOf = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as NodeCapture);

const refused = (ran: Ran, code: number, ...patterns: readonly RegExp[]): void => {
  assert.equal(ran.code, code, all(ran));
  for (const pattern of patterns) assert.match(ran.stderr, pattern);
};

const names = async ({ impound }: PeopleBed): Promise<readonly string[]> => {
  const { items } = (await impound.cluster.api('GET', '/apis/impound.dev/v1alpha1/nodecaptures')) as {
    readonly items: readonly NodeCapture[];
  };
  return items.map(({ metadata }) => metadata.name);
};

scenario('what is wrong with the words is said before anything is asked', async ({ run }, { rita }) => {
  refused(await run(rita, 'capture', 'node1', '--encryption', 'none'), 64, /--reason/);
  refused(await run(rita, 'capture', 'node1', '--reason', 'x'), 64, /--recipient age1/);
  refused(
    await run(rita, 'capture', 'node1', '--reason', 'x', ...SHORT, '--store', '/tmp/x'),
    64,
    /--store: only with/,
  );
  refused(await run(rita, 'capture', 'node1', '--local'), 64, /say which machine/);
  refused(await run(rita, 'release'), 64, /say what is released/);
  refused(await run(rita, 'list', '--context', 'none'), 64, /no context none; it has rita@bed/);
});

scenario('who may not is told which right is missing, and which role has it', async (own, { audrey, rita }) => {
  const ran = await own.run(audrey, 'capture', 'node1', '--reason', 'x', ...SHORT);
  refused(
    ran,
    2,
    /may not create nodecaptures\.impound\.dev/,
    /--clusterrole=impound-responder --serviceaccount=default:audrey; kubectl -n impound-system create rolebinding .* \[api-denied\]/,
  );
  refused(
    await own.run(rita, 'release', '--node', 'node1'),
    2,
    /may not update nodecaptures\.impound\.dev\/release/,
    /impound-releaser/,
  );
  refused(await own.run(rita, 'list', '--as', 'rolf'), 2, /may not be "rolf" there/);
  const root = await own.person('root', 'cluster-admin');
  const as = ['--as', RESPONDER, '--dry-run', '--json'];
  const { stdout } = await own.run(root, 'capture', 'node1', '--reason', 'x', ...SHORT, ...as);
  assert.equal((JSON.parse(stdout) as { readonly spec: NodeCapture['spec'] }).spec.requestedBy, RESPONDER);
  assert.deepEqual(await names(own), []);
});

scenario(
  'credentials that have expired, and a server that is away, are said so',
  async ({ kubeconfig, run, impound }) => {
    const server = `https://${await impound.cluster.reach('control', '127.0.0.1:16443')}`;
    refused(
      await run(await kubeconfig('old', server, 'no-token'), 'list'),
      2,
      /credentials: they are wrong, or have expired/,
    );
    const away = await kubeconfig('away', 'https://127.0.0.1:1', 'any');
    refused(
      await run(away, 'list'),
      2,
      /does not answer \(context away@bed.*ECONNREFUSED.*get-contexts.*api-unreachable/,
    );
  },
);

scenario('a node that there is not, and a plan that creates nothing', async (own, { rita, bea }) => {
  refused(await own.run(rita, 'capture', 'nod1', '--reason', 'x', ...SHORT), 2, /no node nod1; did you mean node1/);
  const plan = await own.run(rita, 'capture', 'node3', '--reason', 'a miner', ...SHORT, '--dry-run');
  assert.equal(plan.code, 0, all(plan));
  assert.match(plan.stdout, /capture node3-\w{4} of node node3\n.*node .*ready, \d+ \w+ old\n/);
  assert.match(plan.stdout, /controller .* leads|! there is no DaemonSet impound-agent/);
  assert.match(plan.stdout, /not encrypted: readable to whoever reads the store/);
  const blind = await own.run(bea, 'capture', 'node1', '--reason', 'x', ...SHORT, '--dry-run', '--json');
  const { spec } = JSON.parse(blind.stdout) as { readonly spec: NodeCapture['spec'] };
  assert.equal(spec.requestedBy, 'system:serviceaccount:default:bea');
  assert.doesNotMatch(plan.stdout, /client certificate/);
  const { cluster } = own.impound;
  const server = `https://${await cluster.reach('control', '127.0.0.1:16443')}`;
  const certificate = join(dirname(rita), 'certificate.kubeconfig');
  const admin = await readFile(cluster.admin.kubeconfig, 'utf8');
  await writeFile(certificate, admin.replace(/"server": "[^"]*"/, `"server": "${server}"`));
  const unknown = await own.run(certificate, 'capture', 'node1', '--reason', 'x', ...SHORT, '--dry-run');
  assert.match(
    unknown.stdout,
    /^! this context logs in by a client certificate: .* takes one whose user has a token$/m,
  );
  assert.deepEqual(await names(own), []);
});

scenario(
  'a policy of an older version, which leaves the finalizer to the controller, is met',
  async (own, { rita }) => {
    const { cluster } = own.impound;
    const file = join(dirname(rita), 'finalized.json');
    const metadata = { name: 'finalized', finalizers: [FINALIZER] };
    const spec = { node: 'node1', requestedBy: RESPONDER, reason: 'x', encryption: { none: true } };
    const capture = { apiVersion: 'impound.dev/v1alpha1', kind: 'NodeCapture', metadata, spec };
    await writeFile(file, JSON.stringify(capture));
    const create = ['create', '--dry-run=server', `--as=${RESPONDER}`, '-f', file];
    const untilSaid = async (pattern: RegExp): Promise<void> => {
      for (const end = Date.now() + 30_000; ; ) {
        const said = await cluster.kubectl(...create).catch(String);
        if (pattern.test(said)) return;
        assert.ok(Date.now() < end, said);
      }
    };
    const kind = ['validatingadmissionpolicy', 'release.nodecaptures.impound.dev'];
    const policy = JSON.parse(await cluster.kubectl('get', ...kind, '-o', 'json'));
    const { managedFields: _, resourceVersion: __, ...named } = policy.metadata;
    const now = { ...policy, metadata: named };
    const older = structuredClone(now);
    for (const one of older.spec.validations)
      one.expression = one.expression.replace(
        /\|\|\s*\(request\.operation == 'CREATE' && variables\.finalizers == .*$/s,
        '',
      );
    assert.notDeepEqual(older, now);
    await untilSaid(/created/);
    await cluster.apply(older);
    try {
      await untilSaid(/are the controller's/);
      const ran = await own.run(rita, 'capture', 'node1', '--reason', 'x', ...SHORT, '--dry-run');
      assert.equal(ran.code, 0, all(ran));
    } finally {
      await cluster.apply(now);
      await untilSaid(/created/);
    }
  },
);

scenario('a capture is watched to its end, with each collector’s progress', async ({ run, impound }, { rita }) => {
  const ran = await run(rita, 'capture', 'node1', '--reason', 'a miner', '--case', 'IR-7', '--name', 'miner', ...SHORT);
  assert.equal(ran.code, 0, all(ran));
  assert.match(ran.stderr, /✔ host +\d.* \d+ artefacts?/);
  assert.match(ran.stderr, /^. processes +[\d.]+ [KM]iB +\d+ artefacts/m);
  const { spec, status } = await impound.get('miner');
  assert.equal(spec.requestedBy, RESPONDER);
  const collectors = new Map(status?.collectors?.map((one) => [one.name, one]));
  for (const name of ['host', 'processes', 'kubernetes']) assert.ok(collectors.get(name)?.outcome, name);
  const sum = [...collectors.values()].reduce((bytes, one) => bytes + one.bytes, 0);
  assert.ok(sum > 0 && sum <= (status?.bytes ?? 0), 'the rest is what the bundle says of itself');
  assert.ok([...collectors.values()].every(({ outcome }) => outcome !== undefined));
  const head = `${status?.bundle?.head?.sequence}:${status?.bundle?.head?.sha256}`;
  for (const text of [status?.bundle?.url ?? '?', head, 'pull miner ./IR-7 --reason', 'release miner --kubeconfig'])
    assert.ok(ran.stdout.includes(text), `${text}\n${ran.stdout}`);
});

scenario('captures are listed, shown and found again', async ({ run, impound }, { audrey, rita }) => {
  const list = await run(audrey, 'list', '--node', 'node1');
  assert.match(
    list.stdout,
    /^NAME +NODE +PHASE .*\nminer +node1 +Sealed +\d+ +[\d.]+ [KM]iB +\d+ .* IR-7 .* a miner\n$/,
  );
  assert.equal((await run(audrey, 'list', '--node', 'node2')).stdout, 'no captures\n');
  assert.equal(linesOf((await run(audrey, 'list', '--json')).stdout)[0]?.metadata.name, 'miner');
  const status = await run(audrey, 'status', 'miner');
  assert.equal(status.code, 0);
  assert.match(status.stdout, /phase +Sealed.*\n.*rita.*\nreason +a miner\ncase +IR-7\n/s);
  assert.equal((await run(audrey, 'watch', 'miner')).code, 0);
  const gaps = (await impound.get('miner')).status?.gaps ?? 0;
  assert.equal((await run(audrey, 'watch', 'miner', '--strict')).code, gaps > 0 ? 1 : 0);
  refused(await run(audrey, 'status', 'minr'), 2, /no capture minr; did you mean miner\?/);
  assert.equal((await run(rita, 'cancel', 'miner')).code, 1);
  refused(
    await run(rita, 'capture', 'node1', '--reason', 'x', '--name', 'miner', ...SHORT),
    2,
    /a capture miner already/,
  );
});

scenario('who leaves is told how to come back, and cancelling seals what there is', async (own, { rita }) => {
  const child = own.start(rita, 'capture', 'node1', '--reason', 'long', '--name', 'long', ...LONG);
  const done = ended(child);
  await own.impound.until('long', 30, ({ status }) => (status?.collectors ?? []).some(({ name }) => name === 'flows'));
  child.kill('SIGINT');
  const left = await done;
  refused(left, 130, /no longer watching/, /watch long --kubeconfig/, /cancel long --kubeconfig/);
  assert.equal((await own.impound.get('long')).status?.phase, 'Collecting');
  const watching = own.start(rita, 'watch', 'long', '--json');
  const watched = ended(watching);
  if (watching.stdout !== null) await once(watching.stdout, 'data');
  const cancelled = await own.run(rita, 'cancel', 'long');
  assert.equal(cancelled.code, 0, all(cancelled));
  assert.match(cancelled.stdout, /cancelled; what there was is sealed/);
  const states = linesOf((await watched).stdout);
  assert.equal(states.at(-1)?.status?.phase, 'Cancelled');
  assert.ok(states.length > 1);
  assert.equal((await watched).code, 2);
});

scenario('a released node is as it was, whoever holds it', async (own, { rolf }) => {
  const schedulable = async () => {
    const { spec } = (await own.impound.cluster.api('GET', '/api/v1/nodes/node1')) as {
      readonly spec: { readonly unschedulable?: boolean };
    };
    return spec.unschedulable !== true;
  };
  assert.equal(await schedulable(), false);
  const one = await own.run(rolf, 'release', 'long');
  assert.equal(one.code, 0, all(one));
  assert.match(one.stdout, /! long: node node1 is held on by miner/);
  const rest = await own.run(rolf, 'release', '--node', 'node1');
  assert.equal(rest.code, 0, all(rest));
  assert.match(rest.stderr, /releasing miner: node node1 gets back what it had/);
  assert.match(rest.stdout, /^✔ miner: node node1 is as it was\n$/);
  assert.equal(await schedulable(), true);
  assert.equal((await own.run(rolf, 'release', '--node', 'node1')).code, 1);
});

scenario('an API server that is away for a while is said so, and watched again', async (own, { rita }) => {
  const child = own.start(rita, 'capture', 'node1', '--reason', 'x', '--name', 'outage', ...LONG);
  const done = ended(child);
  const told: string[] = [];
  child.stderr?.on('data', (text: Buffer) => told.push(String(text)));
  const untilTold = async (pattern: RegExp): Promise<void> => {
    while (!pattern.test(told.join(''))) await once(child.stderr ?? child, 'data');
  };
  await untilTold(/outage: Collecting/);
  await own.impound.cluster.apiServer.kill();
  await untilTold(/! the API server does not answer, and is asked on/);
  await own.impound.cluster.apiServer.start();
  await untilTold(/the API server answers again/);
  await own.impound.patch('outage', { cancel: true });
  const ran = await done;
  assert.equal(ran.code, 2, all(ran));
  assert.match(ran.stdout, /node1: cancelled; what there was is sealed/);
});

scenario('an agent that is not there is said, as far as the cluster knows why', async (own, { rita }) => {
  const child = own.start(rita, 'capture', 'node3', '--reason', 'x', '--name', 'alone', ...SHORT);
  const done = ended(child);
  const told: string[] = [];
  child.stderr?.on('data', (text: Buffer) => told.push(String(text)));
  while (!/agent does not answer/.test(told.join(''))) {
    assert.equal(child.exitCode, null, told.join(''));
    await once(child.stderr ?? child, 'data');
  }
  assert.match(told.join(''), /! the agent does not answer: there is no DaemonSet impound-agent in namespace/);
  await own.impound.patch('alone', { cancel: true });
  assert.equal((await done).code, 2);
});

scenario('a controller that does not answer is said, and what was asked stays', async (own, { rita }) => {
  await own.impound.controller('node2').kill('SIGTERM');
  const child = own.start(rita, 'capture', 'node1', '--reason', 'x', '--name', 'waiting', ...SHORT);
  const done = ended(child);
  const told: string[] = [];
  child.stderr?.on('data', (text: Buffer) => told.push(String(text)));
  while (!/controller has not begun/.test(told.join(''))) await once(child.stderr ?? child, 'data');
  assert.match(
    told.join(''),
    /! the controller has not begun: no controller leads.*kubectl -n impound-system get pods/,
  );
  child.kill('SIGINT');
  assert.equal((await done).code, 130);
  assert.equal((await own.impound.get('waiting')).status?.phase, undefined);
});
