// Certificates, authorities and accounts that end or are changed while a capture is under way: said clearly by who sees it,
// and nothing is lost.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Authority, authorityOf, makeAuthority, type SignedPair } from '../helpers/authority.ts';
import { fileBed } from '../helpers/file-bed.ts';
import {
  begin,
  digests,
  get,
  type InstalledPod,
  type LogLine,
  leader,
  logOf,
  pods,
  says,
  sealedWhole,
  untilLogged,
  untilSaid,
} from '../helpers/installed-captures.ts';
import { deletePods, untilReady } from '../helpers/installed-pods.ts';
import { chainOf, notes } from '../helpers/sealed.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { INSTALLED_COMPONENTS, type Installed, startInstalled } from '../testbed/installed.ts';

const NAME = 'DNS:impound-controller.impound-system.svc';
/** The kubelets bring a change of a Secret or a ConfigMap within ten seconds, and some more that pass by. */
const SYNC_SECONDS = 40;
const EXPIRED = /has expired, by this node's clock: put a valid one into the Secret impound-controller-tls/;
const UNKNOWN = /of none of the authorities that this agent is given: .*ConfigMap impound-ca/;
const WATCH = { watchSeconds: 8 };

const scenario = await fileBed(INSTALLED_COMPONENTS, () => startInstalled({ after }));
const home = await fileTemporaryFolder();

/** As an administrator would: applied on the server, by the same hand as the manifests. */
async function apply({ cluster }: Installed, object: object): Promise<void> {
  const file = join(home, 'object.json');
  await writeFile(file, JSON.stringify(object));
  await cluster.kubectl('apply', '--server-side', '--force-conflicts', '-f', file);
}

async function serve(installed: Installed, { cert, key }: SignedPair): Promise<void> {
  const metadata = { name: 'impound-controller-tls', namespace: installed.namespace };
  const stringData = { 'tls.crt': await readFile(cert, 'utf8'), 'tls.key': await readFile(key, 'utf8') };
  await apply(installed, { apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata, stringData });
}

async function trust(installed: Installed, ...authorities: readonly string[]): Promise<void> {
  const texts = await Promise.all(authorities.map((path) => readFile(path, 'utf8')));
  const metadata = { name: 'impound-ca', namespace: installed.namespace };
  await apply(installed, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'ca.crt': texts.join('') } });
}

const own = ({ keys }: Installed): Authority =>
  authorityOf(home, 'own', { cert: join(keys, 'ca.crt'), key: join(keys, 'ca.key') });

/** Each replica's log has it; what one of them says. */
async function bothLogged(installed: Installed, is: (line: LogLine) => boolean): Promise<string> {
  const said = (await pods(installed, 'controller')).map(({ spec }) =>
    untilLogged(installed, 'controller', SYNC_SECONDS, is, spec.nodeName),
  );
  return (await Promise.all(said))[0]?.message ?? '';
}

/** Whatever its certificate is. */
async function metricsOf({ cluster }: Installed, { spec, status }: InstalledPod): Promise<string> {
  const address = await cluster.reach(spec.nodeName, `${status.podIP}:8443`);
  return new Promise((resolve, reject) => {
    const asked = request(`https://${address}/metrics`, { rejectUnauthorized: false }, (answer) => {
      answer
        .setEncoding('utf8')
        .toArray()
        .then((chunks) => resolve(chunks.join('')), reject);
    });
    asked.on('error', reject).end();
  });
}

function expiry(metrics: string, certificate: 'served' | 'refused'): number {
  const pattern = new RegExp(`_expiry_timestamp_seconds\\{certificate="${certificate}"\\} (\\S+)`);
  return Number(pattern.exec(metrics)?.[1]) * 1000;
}

/** The other replica may have been brought the Secret before this one. */
async function untilRefused(installed: Installed, pod: InstalledPod): Promise<string> {
  for (const end = Date.now() + SYNC_SECONDS * 1000; ; await sleep(500)) {
    const text = await metricsOf(installed, pod);
    if (!Number.isNaN(expiry(text, 'refused'))) return text;
    assert.ok(Date.now() < end, text);
  }
}

scenario('an expired certificate does not take the place of a good one: log and metric say so', async (installed) => {
  await serve(installed, await own(installed).sign('expired', NAME, -1));
  const message = await bothLogged(installed, says('certificate-expired'));
  assert.match(message, /has expired: the one before stays; put a valid one into the Secret/);
  const [one] = await untilReady(installed, 10, 2);
  assert.ok(one !== undefined);
  const text = await untilRefused(installed, one);
  assert.ok(expiry(text, 'served') > Date.now());
  assert.ok(expiry(text, 'refused') < Date.now());
  assert.match(text, /^impound_certificate_trusted 1$/m);
});

scenario('replicas that begin with it say why no agent is heard; what agents have is sent later', async (installed) => {
  await begin(installed, 'expired', WATCH);
  const before = await digests(installed, await get(installed, 'expired'));
  await deletePods(installed, 'controller');
  const message = await untilSaid(installed, 'expired', 60, 'CertificateExpired');
  assert.match(message, /certificate has expired \(.*put a valid one into the Secret impound-controller-tls/);
  const said = performance.now();
  const line = await untilLogged(installed, 'agent', 40, says('controller-untrusted', EXPIRED), 'node1');
  assert.match(JSON.stringify(line.shown), /"CN=expired"/);
  const [ready] = await untilReady(installed, 30, 1);
  assert.equal(ready?.metadata.name, await leader(installed), 'the one that leads tells agents why');
  assert.match(await metricsOf(installed, ready), /^impound_certificate_trusted 0$/m);
  // a silent agent is waited for 60 s; one that is kept out for longer
  await sleep(Math.max(0, 65_000 - (performance.now() - said)));
  assert.equal((await get(installed, 'expired')).status?.phase, 'Collecting');

  await serve(installed, await own(installed).sign('good', NAME));
  const sealed = await sealedWhole(installed, 'expired', home, before);
  assert.equal(sealed.status?.session, 1);
  assert.equal(notes(await chainOf(installed, sealed), 'agent-silent')[0]?.cause, 'CertificateExpired');
  await untilReady(installed, 30, 2);
});

/** Of the certificate that is in the installation's folder. */
async function issuer({ keys }: Installed): Promise<string> {
  return new X509Certificate(await readFile(join(keys, 'tls.crt'))).issuer;
}

scenario('an authority that is trusted before it is shown interrupts nothing', async (installed) => {
  const issued = await issuer(installed);
  await installed.apply('--rotate-ca');
  await sleep(30_000); // until every agent has read it
  await begin(installed, 'rotated', WATCH);
  const before = await digests(installed, await get(installed, 'rotated'));
  await installed.apply('--renew');
  const anew = 'the TLS certificate was read again';
  await bothLogged(installed, ({ message, issuer }) => message === anew && issuer !== issued);
  await deletePods(installed, 'controller'); // who connects anew sees the new one
  const sealed = await sealedWhole(installed, 'rotated', home, before);
  assert.equal(sealed.status?.session, 1);
  for (const { metadata } of await pods(installed, 'agent')) {
    const lines = await logOf(installed, metadata.name);
    assert.ok(!lines.some(says('controller-untrusted', UNKNOWN)));
  }
});

scenario('an authority that is shown first is refused, and named on both sides', async (installed) => {
  const other = await makeAuthority(home, 'other');
  await begin(installed, 'wrong-way', WATCH);
  const before = await digests(installed, await get(installed, 'wrong-way'));
  await serve(installed, await other.sign('wrong-way', NAME));
  const said = await bothLogged(installed, says('certificate-untrusted'));
  assert.match(said, /issued by "CN=other", is of no authority in the ConfigMap impound-ca/);
  await deletePods(installed, 'controller');
  const line = await untilLogged(installed, 'agent', 60, says('controller-untrusted', UNKNOWN), 'node1');
  assert.match(JSON.stringify(line.shown), /"issuer":"CN=other"/);
  assert.match(JSON.stringify(line.taken), /"subject":"CN=impound-ca/);
  const message = await untilSaid(installed, 'wrong-way', 60, 'CertificateUntrusted');
  assert.match(message, /issued by "CN=other", is of no authority in the ConfigMap impound-ca/);
  await trust(installed, join(installed.keys, 'ca.crt'), other.ca);
  const sealed = await sealedWhole(installed, 'wrong-way', home, before);
  assert.equal(sealed.status?.session, 1);
});
