// What impound install --render prints, as a real API server sees it.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after } from 'node:test';
import { cli } from '../helpers/cli.ts';
import { fileBed } from '../helpers/file-bed.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { KUBECTL } from '../manifests/overlay.ts';
import { CLUSTER_COMPONENTS, type Cluster, startCluster } from '../testbed/cluster.ts';
import { BASE } from '../testbed/manifests.ts';

const home = await fileTemporaryFolder();
const scenario = await fileBed(CLUSTER_COMPONENTS, async () => {
  const cluster = await startCluster({ after });
  // a dry run makes none, so that what stands in it could not be tried, nor its labels be heeded
  await cluster.kubectl('apply', '--server-side', '-f', join(BASE, 'namespace.yaml'));
  return cluster;
});

/** Of the agent's, which needs what it says: manifests/base/namespace.yaml. */
const EXPECTED =
  /^Warning: would violate PodSecurity "restricted:latest": (?!.*container "controller").*host namespaces \(hostNetwork=true, hostPID=true\)/;

/** What kubectl says of each object, without the one warning that is right. */
async function dryRun(cluster: Cluster, words: readonly string[]): Promise<readonly string[]> {
  const images = ['--registry', 'registry.example.com/security', '--tag', '1.2.3'];
  const ran = await cli(['install', '--render', '--cluster', 'bed', ...images, ...words], { home });
  assert.equal(ran.code, 0, ran.stderr);
  const file = join(home, 'impound.yaml');
  await writeFile(file, ran.stdout);
  const apply = ['--kubeconfig', cluster.admin.kubeconfig, 'apply', '--server-side', '--dry-run=server', '-f', file];
  const said = await cluster.run('control', ['sh', '-c', 'exec "$@" 2>&1', 'sh', KUBECTL, ...apply]);
  const lines = said.trimEnd().split('\n');
  assert.equal(lines.filter((line) => EXPECTED.test(line)).length, 1, said);
  return lines.filter((line) => !EXPECTED.test(line));
}

const S3 = ['--store', 's3://evidence/prod', '--region', 'eu-central-1'];
const EVERYTHING = [
  ...[...S3, '--endpoint', 'http://minio.minio:9000', '--store-secret', 'minio', '--tsa', 'http://tsa.example.com'],
  ...['--service-account-annotation', 'eks.amazonaws.com/role-arn=arn:aws:iam::123456789012:role/impound'],
  ...['--pod-identity', '--egress-port', '16443', '--agent-arg=--containerd=/host/run/other.sock', '--retain', '90'],
];

const TRIED: readonly (readonly [string, readonly string[]])[] = [
  ['the base', S3],
  ['with every option', EVERYTHING],
  ['a volume', ['--component', 'volume', '--volume-class', 'nfs', '--volume-size', '2Ti']],
  ['without secrets', [...S3, '--no-secrets']],
  ['a List', [...S3, '--json']],
];

for (const [what, words] of TRIED) {
  scenario(
    `${what}: the API server takes every object, and warns of nothing but the agent's privileges`,
    async (cluster) => {
      const lines = await dryRun(cluster, words);
      assert.ok(lines.length > 25, lines.join('\n'));
      for (const line of lines) assert.match(line, /^\S+ serverside-applied \(server dry run\)$/);
      assert.equal(
        lines.includes('secret/impound-signing-key serverside-applied (server dry run)'),
        what !== 'without secrets',
      );
    },
  );
}
