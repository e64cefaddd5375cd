// Keys, certificates and kubeconfigs of a cluster, by openssl(1).
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const DAYS = '30';

export interface Pki {
  /** Path of a file of it: "ca.crt", "apiserver.key". */
  file(name: string): string;
  /** A client's and server's certificate, NAME.crt with NAME.key. */
  certificate(name: string, subject: string, alternatives?: string): Promise<void>;
  /** A kubeconfig that uses certificate NAME; its path. */
  kubeconfig(name: string): Promise<string>;
}

export async function makePki(directory: string, server: string): Promise<Pki> {
  const folder = join(directory, 'pki');
  const file = (name: string): string => join(folder, name);
  const openssl = (...args: readonly string[]) => execute('openssl', args);
  const key = (name: string) =>
    openssl('ecparam', '-genkey', '-name', 'prime256v1', '-noout', '-out', file(`${name}.key`));
  await mkdir(folder);
  await key('ca');
  await openssl(
    ...['req', '-x509', '-new', '-key', file('ca.key'), '-sha256', '-days', DAYS, '-subj', '/CN=testbed-ca'],
    ...['-addext', 'basicConstraints=critical,CA:TRUE', '-out', file('ca.crt')],
  );
  await openssl('genrsa', '-out', file('sa.key'), '2048');
  await openssl('rsa', '-in', file('sa.key'), '-pubout', '-out', file('sa.pub'));
  return {
    file,
    async certificate(name, subject, alternatives) {
      const extensions = [
        'keyUsage=critical,digitalSignature,keyEncipherment',
        'extendedKeyUsage=serverAuth,clientAuth',
      ];
      if (alternatives !== undefined) extensions.push(`subjectAltName=${alternatives}`);
      await writeFile(file(`${name}.ext`), `${extensions.join('\n')}\n`);
      await key(name);
      await openssl('req', '-new', '-key', file(`${name}.key`), '-subj', subject, '-out', file(`${name}.csr`));
      await openssl(
        ...['x509', '-req', '-in', file(`${name}.csr`), '-CA', file('ca.crt'), '-CAkey', file('ca.key')],
        ...['-CAcreateserial', '-days', DAYS, '-sha256', '-extfile', file(`${name}.ext`), '-out', file(`${name}.crt`)],
      );
    },
    async kubeconfig(name) {
      const config = {
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'testbed', cluster: { server, 'certificate-authority': file('ca.crt') } }],
        users: [{ name, user: { 'client-certificate': file(`${name}.crt`), 'client-key': file(`${name}.key`) } }],
        contexts: [{ name: 'testbed', context: { cluster: 'testbed', user: name } }],
        'current-context': 'testbed',
      };
      const path = join(directory, `${name}.conf`);
      await writeFile(path, JSON.stringify(config, null, 2));
      return path;
    },
  };
}
