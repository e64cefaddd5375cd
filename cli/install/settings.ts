// What is to be installed, read from the words of the command: each wrong one with what it should have been.
import { dirname, join, posix } from 'node:path';
import { isInKms } from '../../cloud/index.ts';
import { assertAuthorityUrl, assertName, parseS3Url } from '../../evidence/index.ts';
import type { InstallArguments } from '../commands/install.ts';
import { defaultKeyFile } from '../key.ts';
import { protectionOf } from '../protection.ts';
import { usage } from '../usage.ts';
import { agentArguments, type Images, images } from './images.ts';

export const NAMESPACE = 'impound-system';
export const SERVICE = `impound-controller.${NAMESPACE}.svc`;

export type TlsChoice =
  | { readonly kind: 'self' }
  /** Without an issuer: one that is made for it, in the namespace. */
  | { readonly kind: 'cert-manager'; readonly issuer?: { readonly kind: string; readonly name: string } };

export interface Settings {
  readonly cluster: string;
  readonly components: readonly string[];
  /** controller.yaml's field, as the controller's schema has it. */
  readonly store: object;
  /** On the volume. */
  readonly isDirectory: boolean;
  readonly volume: { readonly className?: string; readonly size?: string };
  readonly storeSecret?: string;
  readonly images: Images;
  readonly agentArguments: readonly string[];
  readonly tsa: readonly string[];
  /** "kms:…", or the path of a PEM file; absent: the one among the keys. */
  readonly key?: string;
  readonly keysFolder: string;
  readonly tls: TlsChoice;
  readonly annotations: Readonly<Record<string, string>>;
  readonly podIdentity: boolean;
  /** Beside those that the manifests have. */
  readonly egressPorts: readonly number[];
}

const VOLUME = 'volume';
/** Where the component's volume is mounted. */
const MOUNTED = '/evidence';
/** The NetworkPolicy of the manifests has these. */
const OPEN_PORTS = [443, 6443];
const DNS_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** Throws `usage`. */
export function settingsOf(argv: InstallArguments): Settings {
  const { cluster, component, storeSecret, tsa, key, podIdentity } = argv;
  if (cluster === undefined || cluster === '')
    throw usage(
      'say which cluster it is: --cluster NAME (letters, digits, ".", "_", "-"), the first folder of every bundle',
    );
  assertName(cluster, '--cluster');
  tsa.forEach(assertAuthorityUrl);
  const isDirectory = component.includes(VOLUME);
  const { volumeClass, volumeSize } = argv;
  if (!isDirectory && (volumeClass !== undefined || volumeSize !== undefined))
    throw usage('--volume-class and --volume-size are for evidence on a volume: --component volume');
  if (volumeClass !== undefined) named('--volume-class', volumeClass);
  if (volumeSize !== undefined && !/^[1-9]\d*(Mi|Gi|Ti|Pi|M|G|T|P)$/.test(volumeSize))
    throw usage(`--volume-size ${volumeSize}: give a size such as 500Gi`);
  if (storeSecret !== undefined) named('--store-secret', storeSecret);
  if (argv.renew && argv.rotateCa)
    throw usage(
      '--rotate-ca and --renew are two steps: agents have to know the new authority before a replica shows a certificate of it',
    );
  const tls = tlsChoice(argv.tls);
  if (tls.kind !== 'self' && (argv.renew || argv.rotateCa))
    throw usage('--renew and --rotate-ca are for the self-managed authority: cert-manager does both itself');
  return {
    ...{ cluster, isDirectory, components: component, tsa, tls, podIdentity },
    store: isDirectory ? directory(argv) : bucket(argv),
    volume: {
      ...(volumeClass === undefined ? {} : { className: volumeClass }),
      ...(volumeSize === undefined ? {} : { size: volumeSize }),
    },
    ...(storeSecret === undefined ? {} : { storeSecret }),
    images: images(argv),
    agentArguments: agentArguments(argv.agentArg),
    ...(key === undefined ? {} : { key: signingKey(key) }),
    keysFolder: argv.keys ?? join(dirname(defaultKeyFile()), 'clusters', cluster),
    annotations: annotations(argv.serviceAccountAnnotation),
    egressPorts: egressPorts(argv),
  };
}

function bucket({ store, region, endpoint, storeSecret: _, ...argv }: InstallArguments): object {
  if (store === undefined)
    throw usage(
      'say where evidence goes: --store s3://BUCKET/PREFIX, or --component volume for a volume of the cluster',
    );
  if (parseS3Url(store) === undefined)
    throw usage(
      `--store ${store}: give s3://BUCKET/PREFIX; a folder is one of the volume that "--component volume" brings`,
    );
  if (endpoint !== undefined) urlOf('--endpoint', endpoint);
  if (region !== undefined && !/^[A-Za-z0-9-]{1,64}$/.test(region))
    throw usage(`--region ${region}: that is no region`);
  if (region === undefined && endpoint === undefined)
    throw usage('say which region the bucket is in: --region REGION (or, for another server than AWS, --endpoint URL)');
  return {
    url: store,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...protectionOf(store, argv),
  };
}

function directory({ store = MOUNTED, region, endpoint, storeSecret, ...argv }: InstallArguments): object {
  if (region !== undefined || endpoint !== undefined || storeSecret !== undefined)
    throw usage('--region, --endpoint and --store-secret are for a store in S3, not for "--component volume"');
  protectionOf(MOUNTED, argv);
  const path = posix.normalize(store).replace(/\/$/, '');
  if (path !== MOUNTED && !path.startsWith(`${MOUNTED}/`))
    throw usage(`--store ${store}: the volume of "--component volume" is ${MOUNTED}; give that, or a folder below it`);
  return { url: path };
}

function signingKey(key: string): string {
  if (!isInKms(key) || /^kms:(alias\/|arn:aws[a-z-]*:kms:)[A-Za-z0-9:/_-]+$/.test(key)) return key;
  throw usage(`--key ${key}: give kms:arn:aws:kms:REGION:ACCOUNT:key/ID (or …:alias/NAME), or a PEM file`);
}

function tlsChoice(text: string): TlsChoice {
  if (text === 'self') return { kind: 'self' };
  const [kind = '', issuer] = text.split('=', 2);
  if (kind !== 'cert-manager') throw usage(`--tls ${text}: give "self", "cert-manager" or "cert-manager=ISSUER"`);
  if (issuer === undefined) return { kind };
  const [, issuerKind = '', name = ''] = /^(Issuer|ClusterIssuer)\/(.+)$/.exec(issuer) ?? [];
  if (name === '')
    throw usage(
      `--tls ${text}: say which kind it is, cert-manager=ClusterIssuer/NAME or cert-manager=Issuer/NAME (in ${NAMESPACE})`,
    );
  return { kind, issuer: { kind: issuerKind, name: named('--tls', name) } };
}

function annotations(words: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf('=');
      const name = word.slice(0, Math.max(0, at));
      if (!/^([a-z0-9.-]+\/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(name))
        throw usage(
          `--service-account-annotation ${word}: give NAME=VALUE, as eks.amazonaws.com/role-arn=arn:aws:iam::…:role/…`,
        );
      return [name, word.slice(at + 1)];
    }),
  );
}

/** Of the URLs given too: the controller may connect to nothing else. */
function egressPorts({ egressPort, endpoint, tsa }: InstallArguments): readonly number[] {
  const wrong = egressPort.find((port) => !(Number.isInteger(port) && port >= 1 && port <= 65_535));
  if (wrong !== undefined) throw usage(`--egress-port ${wrong}: give a port, 1 to 65535`);
  const urls = [...(endpoint === undefined ? [] : [endpoint]), ...tsa].map((url) => new URL(url));
  const ports = urls.map(({ port, protocol }) => Number(port || (protocol === 'https:' ? 443 : 80)));
  return [...new Set([...ports, ...egressPort])].filter((port) => !OPEN_PORTS.includes(port)).sort((a, b) => a - b);
}

function urlOf(option: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url !== undefined && url.username === '' && url.password === '';
  if (isPlain && (url.protocol === 'http:' || url.protocol === 'https:')) return url;
  throw usage(`${option} takes an http:// or https:// URL without user name and password`);
}

function named(option: string, name: string): string {
  if (!DNS_NAME.test(name))
    throw usage(`${option} ${name}: that is no name of an object (small letters, digits, "-", ".")`);
  return name;
}
