// Impound as its manifests install it, in pods of the built images, on a cluster of the tests' own.
import { copyFile, cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateKeyFiles } from '../../evidence/index.ts';
import { CLUSTER_COMPONENTS, type Cluster, startCluster } from './cluster.ts';
import type { Scope } from './http-daemon.ts';
import { builtImages, IMAGE_COMPONENTS, imageReference } from './image.ts';
import { BASE } from './manifests.ts';
import { type S3, S3_COMPONENTS, startS3 } from './s3.ts';

/** What `needs` is told for a test that starts it. */
export const INSTALLED_COMPONENTS = [...CLUSTER_COMPONENTS, ...IMAGE_COMPONENTS, ...S3_COMPONENTS] as const;

const NAMESPACE = 'impound-system';
const SERVICE = `impound-controller.${NAMESPACE}.svc`;
const BUCKET = 'evidence';
const EVENTS_TAIL = 4000;
const PROGRAMS = ['controller', 'agent'] as const;

export interface Installed {
  readonly cluster: Cluster;
  readonly s3: S3;
  readonly namespace: string;
  readonly publicKey: string;
  /** For the environment of a program that reads the store. */
  readonly aws: Readonly<Record<string, string>>;
  /** Folder of the overlay, for `kubectl apply -k`. */
  readonly overlay: string;
}

/** Applied, and rolled out on three nodes. */
export async function startInstalled(scope: Scope): Promise<Installed> {
  const [cluster, s3, images] = await Promise.all([startCluster(scope, { nodes: 3 }), startS3(scope), builtImages()]);
  const [published] = await Promise.all([
    cluster.publish(new URL(s3.endpoint).host),
    s3.makeBucket({ name: BUCKET, objectLock: { mode: 'GOVERNANCE', days: 1 } }),
    ...cluster.nodes.map(async ({ name, containerd }) => {
      for (const program of PROGRAMS)
        await cluster.run(name, ['ctr', '-a', containerd, '-n', 'k8s.io', 'images', 'import', images[program]]);
    }),
  ]);
  const overlay = join(cluster.directory, 'overlay');
  await mkdir(overlay);
  const key = join(overlay, 'signing.pem');
  const [certificate] = await Promise.all([
    cluster.certificate('installed', `/CN=${SERVICE}`, `DNS:${SERVICE}`),
    generateKeyFiles(key),
    cp(BASE, join(overlay, 'base'), { recursive: true }),
  ]);
  // kustomize reads what is below its own folder only
  await copyFile(certificate.certificate, join(overlay, 'tls.crt'));
  await copyFile(certificate.key, join(overlay, 'tls.key'));
  await copyFile(certificate.ca, join(overlay, 'ca.crt'));
  const store = { url: `s3://${BUCKET}/bundles`, endpoint: `http://${published}`, region: s3.region };
  const listen = { certificate: '/etc/impound-tls/tls.crt', key: '/etc/impound-tls/tls.key' };
  await writeFile(
    join(overlay, 'controller.yaml'),
    JSON.stringify({ cluster: 'bed', store, key: '/etc/impound-key/signing.pem', listen }),
  );
  await writeFile(join(overlay, 'kustomization.yaml'), JSON.stringify(kustomization(cluster, s3)));
  await cluster.kubectl('apply', '--server-side', '-f', join(BASE, 'namespace.yaml'));
  await cluster.kubectl('apply', '--server-side', '-k', overlay);
  for (const workload of ['deployment/impound-controller', 'daemonset/impound-agent'])
    await cluster
      .kubectl('rollout', 'status', '-n', NAMESPACE, workload, '--timeout=50s')
      .catch(async (cause: unknown) => {
        const told = await cluster.kubectl('get', 'events', '-n', NAMESPACE, '--field-selector', 'type=Warning');
        throw new Error(`${workload} was not rolled out:\n${told.slice(-EVENTS_TAIL)}`, { cause });
      });
  const aws = {
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    AWS_REGION: s3.region,
    AWS_ENDPOINT_URL_S3: s3.endpoint,
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  return { cluster, s3, namespace: NAMESPACE, publicKey: `${key}.pub`, aws, overlay };
}

/** What docs/install.md has a person write, and what only this bed needs: the store's credentials, and node1's runtime. */
function kustomization({ nodes }: Cluster, s3: S3): object {
  const names = { namespace: NAMESPACE, options: { disableNameSuffixHash: true } };
  const [first] = nodes;
  return {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: ['base'],
    images: PROGRAMS.map((program) => {
      const [newName = '', newTag = ''] = imageReference(program).split(':');
      return { name: `impound-${program}`, newName, newTag };
    }),
    configMapGenerator: [
      { ...names, name: 'impound-controller', files: ['controller.yaml'] },
      { ...names, name: 'impound-ca', files: ['ca.crt'] },
    ],
    secretGenerator: [
      { ...names, name: 'impound-signing-key', files: ['signing.pem'] },
      {
        ...{ ...names, name: 'impound-controller-tls', type: 'kubernetes.io/tls' },
        files: ['tls.crt', 'tls.key'],
      },
      {
        ...{ ...names, name: 'store-credentials' },
        literals: [`AWS_ACCESS_KEY_ID=${s3.accessKeyId}`, `AWS_SECRET_ACCESS_KEY=${s3.secretAccessKey}`],
      },
    ],
    patches: [
      {
        target: { kind: 'Deployment', name: 'impound-controller' },
        patch: JSON.stringify([
          {
            ...{ op: 'add', path: '/spec/template/spec/containers/0/envFrom' },
            value: [{ secretRef: { name: 'store-credentials' } }],
          },
        ]),
      },
      {
        target: { kind: 'DaemonSet', name: 'impound-agent' },
        patch: JSON.stringify([
          {
            ...{ op: 'add', path: '/spec/template/spec/containers/0/args/-' },
            value: `--containerd=/host${first?.containerd ?? ''}`,
          },
        ]),
      },
    ],
  };
}
