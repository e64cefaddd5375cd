// impound install --render: what it prints is the manifests, made those of one cluster, and the same each time.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { readConfig } from '../../controller/config.ts';
import { cli, type Ran } from '../helpers/cli.ts';
import { needs } from '../helpers/component.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { DIGEST, KUBECTL, writeOverlay } from '../manifests/overlay.ts';
import { BASE, MANIFESTS } from '../testbed/manifests.ts';

const execute = promisify(execFile);
const IMAGES = ['controller', 'agent'].flatMap((program) => [
  `--${program}-image`,
  `registry.example.com/impound-${program}@${DIGEST}`,
]);
const S3 = ['--store', 's3://evidence/prod', '--region', 'eu-central-1'];
const render = (home: string, ...words: readonly string[]): Promise<Ran> =>
  cli(['install', '--render', '--cluster', 'prod-eu', ...IMAGES, ...words], { home });

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; annotations?: Record<string, string> };
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

/** What stands at a path of an object: "spec.template". */
function at(object: unknown, path: string): unknown {
  return path.split('.').reduce((inside, name) => (inside as Record<string, unknown> | undefined)?.[name], object);
}

/** By kind and name; 0440 is octal, as for kubectl. */
function objectsOf(yaml: string): ReadonlyMap<string, Manifest> {
  const objects = parseAllDocuments(yaml, { version: '1.1' }).map((document) => document.toJS() as Manifest);
  return new Map(objects.map((object) => [`${object.kind}/${object.metadata.name}`, object]));
}

interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly envFrom?: readonly object[];
}

const OWN = [
  ...['ConfigMap/impound-controller', 'ConfigMap/impound-ca'],
  ...['Secret/impound-signing-key', 'Secret/impound-controller-tls'],
];

async function rendered(t: TestContext, ...words: readonly string[]): Promise<ReadonlyMap<string, Manifest>> {
  const { code, stdout, stderr } = await render(await temporaryFolder(t), ...words);
  assert.equal(code, 0, stderr);
  return objectsOf(stdout);
}

/** The controller reads it as it would in its pod. */
async function configuration(t: TestContext, objects: ReadonlyMap<string, Manifest>) {
  const file = join(await temporaryFolder(t), 'controller.yaml');
  await writeFile(file, objects.get('ConfigMap/impound-controller')?.data?.['controller.yaml'] ?? '');
  const { pod: _, ...config } = await readConfig(file, {
    ...{ POD_NAMESPACE: 'impound-system', POD_NAME: 'controller-1', NODE_NAME: 'node1', POD_IP: '10.0.0.1' },
  });
  return config;
}

const COMPONENTS: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ['the base', [], S3],
  ['with a volume', ['volume'], ['--component', 'volume']],
];

for (const [what, components, words] of COMPONENTS) {
  test(`${what}: the same objects as kustomize makes of the manifests, and those of the cluster`, async (t) => {
    if (!needs(t, 'kubernetes')) return;
    const folder = await writeOverlay(await temporaryFolder(t), components);
    const { stdout } = await execute(KUBECTL, ['kustomize', folder], { maxBuffer: 16 * 1024 * 1024 });
    const objects = new Map(await rendered(t, ...words));
    for (const name of OWN) assert.ok(objects.delete(name), name);
    const template = at(objects.get('Deployment/impound-controller'), 'spec.template.metadata') as {
      annotations?: object;
    };
    assert.deepEqual(Object.keys(template.annotations ?? {}), ['impound.dev/configuration', 'impound.dev/signing-key']);
    delete template.annotations;
    const expected = objectsOf(stdout);
    assert.deepEqual([...objects.keys()].sort(), [...expected.keys()].sort());
    for (const [name, object] of expected) assert.deepEqual(objects.get(name), object, name);
  });
}

test('every comment of the manifests, which explains a privilege, is in what is printed', async (t) => {
  const { stdout } = await render(await temporaryFolder(t), '--component', 'volume');
  const files = [join(MANIFESTS, 'components/volume/deployment.yaml'), join(MANIFESTS, 'components/volume/claim.yaml')];
  for (const name of await readdir(BASE)) if (name !== 'kustomization.yaml') files.push(join(BASE, name));
  for (const file of files) {
    for (const [, comment = ''] of (await readFile(file, 'utf8')).matchAll(/^\s*(#.*)$/gm))
      assert.ok(stdout.includes(comment), `${file}: ${comment}`);
  }
});

test('twice the same bytes, in folders and files that nobody else reads', async (t) => {
  const home = await temporaryFolder(t);
  const first = await render(home, ...S3);
  assert.equal(first.code, 0, first.stderr);
  const second = await render(home, ...S3);
  assert.equal(second.stdout, first.stdout);
  assert.doesNotMatch(second.stderr, /^made in/m);
  const folder = join(home, 'impound/clusters/prod-eu');
  assert.equal((await stat(folder)).mode & 0o777, 0o700);
  const modes = await Promise.all(
    (await readdir(folder))
      .sort()
      .map(async (name) => [name, ((await stat(join(folder, name))).mode & 0o777).toString(8)]),
  );
  assert.deepEqual(Object.fromEntries(modes), {
    ...{ 'ca.crt': '600', 'ca.key': '600', 'tls.crt': '600', 'tls.key': '600' },
    ...{ 'signing.pem': '600', 'signing.pem.pub': '644' },
  });
  // the authority's key goes nowhere, in whatever encoding
  const key = (await readFile(join(folder, 'ca.key'), 'utf8')).split('\n')[1] ?? '';
  const inside = [...objectsOf(first.stdout).values()].flatMap(({ data = {} }) =>
    Object.values(data).flatMap((text) => [text, Buffer.from(text, 'base64').toString()]),
  );
  assert.ok(inside.every((text) => !text.includes(key)));
  assert.ok(!first.stdout.includes(key) && !first.stderr.includes(key));
});

test('a person is told what it holds, which key signs, and what comes next', async (t) => {
  const home = await temporaryFolder(t);
  const { stderr } = await render(home, ...S3, '--store-secret', 'minio');
  const { stdout: keyed } = await cli(['keygen', join(home, 'other.pem'), '--json'], { home });
  const { keyid } = JSON.parse(keyed) as { keyid: string };
  assert.match(stderr, /made in .*clusters\/prod-eu: the signing key, an authority \(until 20.*certificate \(until 20/);
  assert.match(stderr, /signing key {2}fingerprint [0-9a-f]{64}\n/);
  assert.match(stderr, /private keys \(Secret impound-signing-key, impound-controller-tls\)/);
  assert.match(stderr, /create secret generic minio --from-env-file=FILE/);
  assert.match(stderr, /kubectl apply --server-side -f -/);
  assert.match(stderr, /rollout status deployment\/impound-controller daemonset\/impound-agent/);
  const own = await render(home, ...S3, '--key', join(home, 'other.pem'));
  assert.ok(own.stderr.includes(keyid));
  assert.equal((await render(home, ...S3, '--quiet')).stderr, '');
});

test('the controller takes the configuration that the options make', async (t) => {
  const tsa = ['--tsa', 'https://tsa.example.com/tsr', '--tsa', 'http://tsa.example.org:318'];
  const words = [
    '--endpoint',
    'http://minio.minio:9000',
    '--retain',
    '90',
    '--lock-mode',
    'GOVERNANCE',
    '--legal-hold',
  ];
  const objects = await rendered(t, ...S3, ...tsa, ...words, '--sse-kms', 'alias/evidence');
  const { cluster, store, tsa: authorities, key, listen } = await configuration(t, objects);
  assert.deepEqual(store, {
    ...{ url: 's3://evidence/prod', region: 'eu-central-1', endpoint: 'http://minio.minio:9000' },
    ...{ retention: { mode: 'GOVERNANCE', days: 90 }, legalHold: true, kmsKey: 'alias/evidence' },
  });
  assert.deepEqual([cluster, key], ['prod-eu', '/etc/impound-key/signing.pem']);
  assert.deepEqual(authorities, ['https://tsa.example.com/tsr', 'http://tsa.example.org:318']);
  assert.deepEqual([listen.certificate, listen.key], ['/etc/impound-tls/tls.crt', '/etc/impound-tls/tls.key']);
  const ports = JSON.stringify(at(objects.get('NetworkPolicy/impound-controller'), 'spec.egress'));
  assert.match(ports, /\[\{"port":443\},\{"port":6443\},\{"port":318\},\{"port":9000\}\]/);
});

test('evidence on a volume: the service, the folder, the claim', async (t) => {
  const words = ['--component', 'volume', '--store', '/evidence/prod', '--volume-size', '2Ti', '--volume-class', 'nfs'];
  const objects = await rendered(t, ...words);
  const { store, service } = await configuration(t, objects);
  assert.deepEqual(store, { url: '/evidence/prod' });
  assert.equal(service, 'https://impound-controller.impound-system.svc:8443');
  const claim = objects.get('PersistentVolumeClaim/impound-evidence');
  assert.equal(at(claim, 'spec.storageClassName'), 'nfs');
  assert.equal(at(claim, 'spec.resources.requests.storage'), '2Ti');
});

test('on AWS: a role for the service account, a key in KMS, the agent of Pod Identity', async (t) => {
  const arn = 'arn:aws:kms:eu-central-1:123456789012:key/0a1b';
  const role = 'arn:aws:iam::123456789012:role/impound';
  const words = ['--key', `kms:${arn}`, '--pod-identity', '--egress-port', '16443'];
  const objects = await rendered(
    t,
    ...S3,
    ...words,
    '--service-account-annotation',
    `eks.amazonaws.com/role-arn=${role}`,
  );
  assert.equal((await configuration(t, objects)).key, `kms:${arn}`);
  assert.ok(!objects.has('Secret/impound-signing-key'));
  const { annotations } = objects.get('ServiceAccount/impound-controller')?.metadata ?? {};
  assert.deepEqual(annotations, { 'eks.amazonaws.com/role-arn': role });
  const egress = at(objects.get('NetworkPolicy/impound-controller'), 'spec.egress') as { ports: object[] }[];
  assert.deepEqual(egress.at(-2)?.ports.at(-1), { port: 16443 });
  assert.deepEqual(egress.at(-1), {
    to: [{ ipBlock: { cidr: '169.254.170.23/32' } }, { ipBlock: { cidr: 'fd00:ec2::23/128' } }],
    ports: [{ port: 80 }],
  });
});

test('cert-manager: a certificate instead of ours, by the issuer that was named or by one of its own', async (t) => {
  const named = await rendered(t, ...S3, '--tls', 'cert-manager=ClusterIssuer/corporate');
  assert.ok(!named.has('Secret/impound-controller-tls') && !named.has('ConfigMap/impound-ca'));
  const certificate = named.get('Certificate/impound-controller');
  assert.equal(at(certificate, 'spec.secretName'), 'impound-controller-tls');
  assert.deepEqual(at(certificate, 'spec.dnsNames'), ['impound-controller.impound-system.svc']);
  assert.deepEqual(at(certificate, 'spec.issuerRef'), {
    group: 'cert-manager.io',
    kind: 'ClusterIssuer',
    name: 'corporate',
  });
  const own = await render(await temporaryFolder(t), ...S3, '--tls', 'cert-manager');
  const kinds = [...objectsOf(own.stdout).keys()].filter((name) => /^(Issuer|Certificate)\//.test(name));
  assert.deepEqual(kinds, [
    ...['Issuer/impound-self-signed', 'Certificate/impound-ca', 'Issuer/impound-ca', 'Certificate/impound-controller'],
  ]);
  assert.match(own.stderr, /create configmap impound-ca --from-file=ca.crt/);
});

test('images by registry and tag, credentials of the store by name, more words for agents', async (t) => {
  const home = await temporaryFolder(t);
  const words = ['--registry', 'registry.example.com:5000/sec/', '--tag', 'latest', '--store-secret', 'minio'];
  const ran = await cli(
    [
      'install',
      '--render',
      '--cluster',
      'lab',
      ...S3,
      ...words,
      '--agent-arg=--containerd=/host/x',
      '--agent-arg=--docker=/y',
    ],
    { home },
  );
  assert.equal(ran.code, 0, ran.stderr);
  const objects = objectsOf(ran.stdout);
  const container = (name: string) => at(objects.get(name), 'spec.template.spec.containers.0') as Container;
  const [controller, agent] = [container('Deployment/impound-controller'), container('DaemonSet/impound-agent')];
  assert.equal(controller.image, 'registry.example.com:5000/sec/impound-controller:latest');
  assert.equal(agent.image, 'registry.example.com:5000/sec/impound-agent:latest');
  assert.deepEqual(controller.envFrom, [{ secretRef: { name: 'minio' } }]);
  assert.deepEqual(agent.args.slice(-3), ['--root=/host', '--containerd=/host/x', '--docker=/y']);
  assert.match(ran.stderr, /note: .*impound-controller:latest and .* may be another image tomorrow/);
});

test('--no-secrets leaves out the Secrets only, and says how to make them', async (t) => {
  const home = await temporaryFolder(t);
  const all = objectsOf((await render(home, ...S3)).stdout);
  const { stdout, stderr } = await render(home, ...S3, '--no-secrets');
  const left = objectsOf(stdout);
  assert.deepEqual(
    [...all.keys()].filter((name) => !left.has(name)),
    ['Secret/impound-signing-key', 'Secret/impound-controller-tls'],
  );
  for (const [name, object] of left) assert.deepEqual(object, all.get(name));
  assert.match(stderr, /create secret generic impound-signing-key --from-file=signing.pem=.*prod-eu\/signing.pem\n/);
  assert.match(stderr, /create secret tls impound-controller-tls --cert=.*tls.crt --key=.*tls.key\n/);
  assert.doesNotMatch(stdout, /PRIVATE|private key/);
});

test('--json is one List of the same objects', async (t) => {
  const home = await temporaryFolder(t);
  const yaml = objectsOf((await render(home, ...S3)).stdout);
  const list = JSON.parse((await render(home, ...S3, '--json')).stdout) as Record<string, unknown>;
  assert.deepEqual([list.apiVersion, list.kind], ['v1', 'List']);
  assert.deepEqual(list.items, [...yaml.values()]);
});

test('a change of what is read at start only restarts the replicas', async (t) => {
  const home = await temporaryFolder(t);
  const annotations = async (...words: readonly string[]) => {
    const deployment = objectsOf((await render(home, ...S3, ...words)).stdout).get('Deployment/impound-controller');
    return at(deployment, 'spec.template.metadata.annotations') as Readonly<Record<string, string>>;
  };
  const before = await annotations();
  const retained = await annotations('--retain', '30');
  assert.notEqual(retained['impound.dev/configuration'], before['impound.dev/configuration']);
  assert.equal(retained['impound.dev/signing-key'], before['impound.dev/signing-key']);
});
