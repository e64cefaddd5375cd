// An analyst reads a capture's bundle by its name: through the API server's port-forward, with no credential of the store.
import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DirectoryStore, readChain } from '../../evidence/index.ts';
import { cliCommand, lastLine, type Ran } from '../helpers/cli.ts';
import { fileBed } from '../helpers/file-bed.ts';
import { IMPOUND_COMPONENTS } from '../testbed/impound.ts';
import { leaderOf, type PeopleBed, standIn, startPeopleBed } from './cluster-bed.ts';

const NAME = 'miner';
const ANALYST = 'system:serviceaccount:default:anna';

interface People {
  /** May read evidence, and reach the controller. */
  readonly anna: string;
  /** May read evidence, and has no way to it. */
  readonly ben: string;
  readonly audrey: string;
}

/** A sealed capture; the first pod of the controller that is found does not lead. */
async function prepare({ impound, person }: PeopleBed): Promise<People> {
  const leader = await leaderOf(impound);
  const other = leader === 'node2' ? 'node3' : 'node2';
  const [anna, ben, audrey] = await Promise.all([
    person('anna', 'impound-analyst'),
    person('ben'),
    person('audrey', 'impound-auditor'),
    standIn(impound, [other, leader]),
    impound.capture(NAME, { case: 'IR-7', watchSeconds: 0, collectors: { only: ['host', 'processes'] } }),
    impound.cluster.apply(clusterBinding('ben', 'impound-analyst')),
  ]);
  await impound.untilPhase(NAME, 90, 'Sealed');
  return { anna, ben, audrey };
}

/** What an administrator binds who has not read to the second command. */
function clusterBinding(name: string, role: string): object {
  const apiGroup = 'rbac.authorization.k8s.io';
  return {
    apiVersion: `${apiGroup}/v1`,
    kind: 'ClusterRoleBinding',
    metadata: { name: `${name}-${role}` },
    roleRef: { apiGroup, kind: 'ClusterRole', name: role },
    subjects: [{ kind: 'ServiceAccount', namespace: 'default', name }],
  };
}

const started = await fileBed(IMPOUND_COMPONENTS, async () => {
  const bed = await startPeopleBed({ controllers: ['node2', 'node3'] });
  return { bed, people: await prepare(bed) };
});
const scenario = (name: string, work: (bed: PeopleBed, people: People) => Promise<void>): void =>
  started(name, ({ bed, people }) => work(bed, people));

const all = ({ stdout, stderr }: Ran): string => `${stdout}${stderr}`;
const refused = (ran: Ran, code: number, ...patterns: readonly RegExp[]): void => {
  assert.equal(ran.code, code, all(ran));
  for (const pattern of patterns) assert.match(ran.stderr, pattern);
};
const pull = (dir: string, ...more: readonly string[]) => ['pull', NAME, dir, '--reason', 'triage of IR-7', ...more];

scenario('a bundle is pulled by its name, whole, the access on its chain first', async (own, { anna }) => {
  const dir = join(own.home, 'whole');
  const pulled = await own.run(anna, ...pull(dir));
  assert.equal(pulled.code, 0, all(pulled));
  const root = lastLine(pulled);
  const entries = await readChain(new DirectoryStore({ root, partial: join(own.home, 'partial') }));
  const access = entries.at(-1)?.statement.predicate;
  assert.equal(access?.action, 'access');
  assert.deepEqual(access?.actor, { kind: 'person', name: ANALYST });
  assert.deepEqual(access?.details, { purpose: 'triage of IR-7' });
  assert.match(pulled.stdout, new RegExp(`head +${entries.length - 1}:[0-9a-f]{64}`));
  const { head } = (await own.impound.get(NAME)).status?.bundle ?? {};
  assert.ok(head);
  const words = ['--strict', '--key', own.impound.publicKey, '--head', `${head.sequence}:${head.sha256}`];
  const verified = await own.run(anna, 'verify', root, ...words);
  assert.equal(verified.code, 0, all(verified));
  // what is there is kept
  const again = await own.run(anna, ...pull(dir));
  assert.equal(again.code, 0, all(again));
  assert.match(again.stdout, /pulled +1 file.*were there already/);
});

scenario('a bundle is verified by its name, in the store where it is', async (own, { anna }) => {
  const ran = await own.run(anna, 'verify', NAME, '--strict', '--key', own.impound.publicKey);
  assert.equal(ran.code, 0, all(ran));
  assert.match(ran.stdout, /^intact$/m);
  const wrong = await own.run(anna, 'verify', NAME, '--head', `1:${'0'.repeat(64)}`);
  assert.equal(wrong.code, 1, all(wrong));
});

scenario('some of it is recorded as some of it', async (own, { anna }) => {
  const dir = join(own.home, 'some');
  const ran = await own.run(anna, ...pull(dir, '--only', '00-meta/**'));
  assert.equal(ran.code, 0, all(ran));
  const root = lastLine(ran);
  const entries = await readChain(new DirectoryStore({ root, partial: join(own.home, 'partial') }));
  const { paths } = (entries.at(-1)?.statement.predicate.details ?? {}) as { readonly paths?: readonly string[] };
  assert.ok(paths?.includes('data/00-meta/request.json'));
  assert.deepEqual(await readdir(join(root, 'data')), ['00-meta']);
  refused(await own.run(anna, ...pull(dir, '--only', 'nothing/**')), 64, /no artefact matches/);
});

scenario(
  'the replica that leads is asked where another was, without the API server between',
  async ({ impound, home }) => {
    const { cluster } = impound;
    const leader = await leaderOf(impound);
    const other = leader === 'node2' ? 'node3' : 'node2';
    const address = cluster.nodes.find(({ name }) => name === other)?.address ?? '';
    const direct = ['--controller', `https://${address}:8443`, '--controller-ca', impound.ca];
    const { server } = cluster;
    const token = await cluster.token('anna');
    const words = [
      'verify',
      NAME,
      '--kubeconfig',
      await kubeconfigIn(home, server, token, cluster.admin.ca),
      ...direct,
    ];
    const [program = '', ...args] = cliCommand([...words, '--key', impound.publicKey]);
    const printed = await cluster.run('node1', [program, ...args], { env: { HOME: home } });
    assert.match(printed, /^intact$/m);
  },
);

async function kubeconfigIn(home: string, server: string, token: string, ca: string): Promise<string> {
  const file = join(home, 'within.kubeconfig');
  const config = {
    clusters: [{ name: 'bed', cluster: { server, 'certificate-authority': ca } }],
    users: [{ name: 'anna', user: { token } }],
    contexts: [{ name: 'bed', context: { cluster: 'bed', user: 'anna' } }],
    'current-context': 'bed',
  };
  await writeFile(file, JSON.stringify(config));
  return file;
}

scenario(
  'who may not read evidence, or has no way to it, is told what is missing',
  async (own, { ben, audrey, anna }) => {
    const dir = join(own.home, 'none');
    refused(await own.run(audrey, ...pull(dir)), 2, /may not get nodecaptures\.impound\.dev\/bundle.*impound-analyst/);
    refused(
      await own.run(ben, ...pull(dir)),
      2,
      /may not list pods in impound-system, nor create or get pods\/portforward .*, nor get configmaps impound-ca/,
      /-n impound-system create rolebinding \S+ --role=impound-analyst --serviceaccount=default:ben; or give --controller/,
    );
    const ca = ['--controller-ca', own.impound.ca];
    const lacking = await own.run(ben, ...pull(dir), ...ca);
    refused(lacking, 2, /may not list pods in impound-system/);
    assert.doesNotMatch(lacking.stderr, /impound-ca/);
    refused(await own.run(anna, ...pull(dir), '--key', 'mine.pem'), 64, /the controller records the access/);
    refused(await own.run(anna, ...pull(dir), '--as', 'rita'), 64, /read evidence without it, as yourself/);
    refused(await own.run(anna, 'pull', 'minr', dir, '--reason', 'x'), 2, /no capture minr; did you mean miner/);
    const unsure = await own.run(
      anna,
      'verify',
      NAME,
      '--controller-ca',
      own.impound.publicKey.replace('.pub', '.none'),
    );
    refused(unsure, 64, /--controller-ca .* cannot be read/);
    const direct = ['--controller', await own.impound.reach('node2')];
    const foreign = await own.run(
      anna,
      'verify',
      NAME,
      ...direct,
      '--controller-ca',
      own.impound.cluster.admin.certificate,
    );
    refused(foreign, 2, /cannot be reached.*is --controller-ca the authority/);
    const admin = await own.run(own.impound.cluster.admin.kubeconfig, 'verify', NAME, ...ca);
    assert.equal(admin.code, 2, all(admin)); // its API server has another address here
    await assert.rejects(readdir(dir));
  },
);

scenario('a replica that is gone is passed over for another', async (own, { anna }) => {
  const leader = await leaderOf(own.impound);
  await own.impound.controller(leader === 'node2' ? 'node3' : 'node2').kill('SIGKILL');
  // its pod is still said to be ready, and the first that is found
  const ran = await own.run(anna, 'verify', NAME, '--strict', '--key', own.impound.publicKey);
  assert.equal(ran.code, 0, all(ran));
});
