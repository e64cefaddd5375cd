// What no manifest can have beforehand: the configuration, keys and certificates of one cluster.
import { Document } from 'yaml';
import { isInKms } from '../../cloud/index.ts';
import { NAMESPACE, SERVICE, type Settings, type TlsChoice } from './settings.ts';

const labels = { 'app.kubernetes.io/part-of': 'impound' };
const metadata = (name: string) => ({ name, namespace: NAMESPACE, labels });

/** controller.yaml, of which docs/install.md tells the fields. */
export function controllerFile({ cluster, store, isDirectory, tsa, key }: Settings): object {
  return {
    ...{ cluster, store },
    key: key !== undefined && isInKms(key) ? key : '/etc/impound-key/signing.pem',
    ...(tsa.length === 0 ? {} : { tsa }),
    listen: { certificate: '/etc/impound-tls/tls.crt', key: '/etc/impound-tls/tls.key' },
    // agents send their bytes there
    ...(isDirectory ? { service: `https://${SERVICE}:8443` } : {}),
  };
}

export function configMap(name: string, comment: string, data: Readonly<Record<string, string>>): Document {
  return commented(comment, { apiVersion: 'v1', kind: 'ConfigMap', metadata: metadata(name), data });
}

export function secret(name: string, comment: string, type: string, files: Readonly<Record<string, string>>): Document {
  const encoded = Object.entries(files).map(([file, text]) => [file, Buffer.from(text).toString('base64')]);
  const data = Object.fromEntries(encoded) as object;
  return commented(comment, { apiVersion: 'v1', kind: 'Secret', metadata: metadata(name), type, data });
}

const CERTIFICATES = 'cert-manager.io/v1';
const KEY = { algorithm: 'ECDSA', size: 256 };

/** cert-manager's objects: the controller's certificate; and where no issuer is named, an authority for it. */
export function certManagerObjects({
  issuer,
}: Extract<TlsChoice, { readonly kind: 'cert-manager' }>): readonly Document[] {
  const authority = 'impound-ca';
  const issuerRef = { group: 'cert-manager.io', ...(issuer ?? { kind: 'Issuer', name: authority }) };
  const server = commented(" The controller's certificate: cert-manager writes the Secret, and renews it.", {
    ...{ apiVersion: CERTIFICATES, kind: 'Certificate', metadata: metadata('impound-controller') },
    spec: {
      ...{ secretName: 'impound-controller-tls', dnsNames: [SERVICE], usages: ['digital signature', 'server auth'] },
      ...{ privateKey: { ...KEY, rotationPolicy: 'Always' }, issuerRef },
    },
  });
  if (issuer !== undefined) return [server];
  const selfSigned = 'impound-self-signed';
  return [
    commented(' For the authority below, and nothing else.', {
      ...{ apiVersion: CERTIFICATES, kind: 'Issuer', metadata: metadata(selfSigned), spec: { selfSigned: {} } },
    }),
    commented(' The authority: its key is in the Secret impound-ca-key, and leaves the namespace no more.', {
      ...{ apiVersion: CERTIFICATES, kind: 'Certificate', metadata: metadata(authority) },
      spec: {
        ...{ isCA: true, commonName: authority, secretName: 'impound-ca-key', duration: '87600h', privateKey: KEY },
        issuerRef: { group: 'cert-manager.io', kind: 'Issuer', name: selfSigned },
      },
    }),
    commented(undefined, {
      ...{ apiVersion: CERTIFICATES, kind: 'Issuer', metadata: metadata(authority) },
      spec: { ca: { secretName: 'impound-ca-key' } },
    }),
    server,
  ];
}

function commented(comment: string | undefined, object: object): Document {
  const document = new Document(object, { version: '1.1', aliasDuplicateObjects: false });
  // of the contents: a document's own has an empty line after it
  if (comment !== undefined && document.contents !== null) document.contents.commentBefore = comment;
  return document;
}
