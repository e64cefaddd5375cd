// impound install --render
import type { Command } from '../command.ts';
import { repeatable } from './repeatable.ts';
import { type ProtectionArguments, protectionOptions, type StoreArguments } from './store-options.ts';

export interface InstallArguments extends StoreArguments, ProtectionArguments {
  readonly render: boolean;
  readonly cluster?: string;
  readonly store?: string;
  readonly component: readonly string[];
  readonly storeSecret?: string;
  readonly volumeClass?: string;
  readonly volumeSize?: string;
  readonly registry?: string;
  readonly tag?: string;
  readonly controllerImage?: string;
  readonly agentImage?: string;
  readonly agentArg: readonly string[];
  readonly tsa: readonly string[];
  readonly key?: string;
  readonly keys?: string;
  readonly tls: string;
  readonly renew: boolean;
  readonly rotateCa: boolean;
  /** False with --no-secrets. */
  readonly secrets: boolean;
  readonly serviceAccountAnnotation: readonly string[];
  readonly podIdentity: boolean;
  readonly egressPort: readonly number[];
}

const text = (group: string, describe: string) => ({ type: 'string', group, describe }) as const;
const flag = (group: string, describe: string) => ({ type: 'boolean', default: false, group, describe }) as const;
const each = (group: string, describe: string) => ({ ...repeatable(describe), group });

const [store, images, keys, cluster] = ['The store:', 'The images:', 'Keys and certificates:', 'The cluster:'] as const;

const protection = Object.fromEntries(
  Object.entries(protectionOptions).map(([name, option]) => [name, { ...option, group: store }]),
);

export const install: Command<InstallArguments> = {
  usage: 'install',
  description: 'Print all that is to be applied to a cluster: kubectl applies it, nothing else does',
  positionals: {},
  options: {
    render: {
      type: 'boolean',
      default: false,
      describe: 'Print it on standard output, as YAML or with --json as a List',
    },
    cluster: text(cluster, 'Name of the cluster: first folder of every bundle, and of its keys'),
    component: each(cluster, 'What is added to the base: a folder of manifests/components, such as "volume"'),
    store: text(store, 's3://BUCKET/PREFIX; with "--component volume" a folder of the volume (/evidence)'),
    region: text(store, 'Region of the bucket'),
    endpoint: text(store, 'URL of a server that speaks S3, as the controller reaches it; default: AWS'),
    'store-secret': text(store, 'Secret of yours in impound-system with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'),
    ...protection,
    'volume-class': text(store, "Storage class of the volume; default: the cluster's"),
    'volume-size': text(store, 'Size of the volume; default: 100Gi'),
    registry: text(images, 'REGISTRY/impound-controller:TAG and REGISTRY/impound-agent:TAG are run'),
    tag: text(images, 'The tag of both'),
    'controller-image': text(images, 'The controller; best by its digest: REGISTRY/impound-controller@sha256:…'),
    'agent-image': text(images, 'The agent, likewise'),
    'agent-arg': each(images, "Added to the agents' arguments: --agent-arg=--containerd=/run/… (may be repeated)"),
    tsa: each(cluster, 'URL of an RFC 3161 time stamp authority, asked at the seal (may be repeated)'),
    'service-account-annotation': each(
      cluster,
      'NAME=VALUE on the controller’s service account: eks.amazonaws.com/role-arn=arn:… for IRSA (may be repeated)',
    ),
    'pod-identity': flag(cluster, 'The controller has its role by EKS Pod Identity: its agent may be asked'),
    'egress-port': {
      ...{ type: 'number', array: true, nargs: 1, default: [] as number[], group: cluster },
      describe:
        'Port that the controller may connect to beside 443, 6443 and those of the URLs given (may be repeated)',
    },
    key: text(keys, 'Signing key: kms:arn:…, or a PEM file; default: signing.pem among the keys, made once'),
    keys: text(keys, 'Folder of the keys, yours only; default: $XDG_CONFIG_HOME/impound/clusters/CLUSTER'),
    tls: {
      ...text(
        keys,
        '"self": an authority among the keys; "cert-manager" or "cert-manager=ISSUER": Issuer/NAME or ClusterIssuer/NAME',
      ),
      default: 'self',
    },
    renew: flag(keys, "Make the controller's certificate anew; else when under a third of its time is left"),
    'rotate-ca': flag(keys, 'Make a new authority; agents trust the old one too until the next'),
    secrets: {
      ...{ type: 'boolean', default: true, group: keys },
      describe: '--no-secrets leaves the Secrets out, for sealed or external ones',
    },
  },
  examples: [
    [
      '$0 install --render --cluster prod-eu --store s3://evidence/prod --region eu-central-1 --registry REG --tag 1.2.3 > impound.yaml',
      'read it, then: kubectl apply --server-side -f impound.yaml',
    ],
    ['$0 install --render --cluster lab --component volume --registry REG --tag 1.2.3', 'evidence on a volume'],
  ],
  run: async (argv, environment) => (await import('../install/install.ts')).runInstall(argv, environment),
};
