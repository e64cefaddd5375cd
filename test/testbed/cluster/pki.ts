// Keys, certificates and kubeconfigs of a cluster, by openssl(1).
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const DAYS = '30';

/** Paths of PEM files. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
  /** Of the authority that signed it, the cluster's own. */
  readonly ca: string;
}

export interface Pki {
  /** Path of a file of it: "ca.crt", "apiserver.key". */
  file(name: string): string;
  /** A client's and server's certificate, NAME.crt with NAME.key; `alternatives` as "DNS:a,IP:1.2.3.4". */
  certificate(name: string, subject: string, alternatives?: string): Promise<Certificate>;
  /** A kubeconfig with a new certificate NAME; its path. */
  kubeconfig(name: string, subject: string, alternatives?: string): Promise<string>;
}

/** `server` is the URL in kubeconfigs. */
export async function makePki(folder: string, server: string): Promise<Pki> {
  const file = (name: string): string => join(folder, name);
  const openssl = (...args: readonly string[]) => execute('openssl', args);
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-sha256'];
  const extensions = (lines: readonly string[]): string[] => lines.flatMap((line) => ['-addext', line]);
  await mkdir(folder);
  await Promise.all([
    openssl(
      ...[...request, '-days', DAYS, '-subj', '/CN=testbed-ca', '-keyout', file('ca.key'), '-out', file('ca.crt')],
      ...extensions(['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign']),
    ),
    openssl('genrsa', '-out', file('sa.key'), '2048'),
  ]);
  await openssl('rsa', '-in', file('sa.key'), '-pubout', '-out', file('sa.pub'));
  const certificate: Pki['certificate'] = async (name, subject, alternatives) => {
    const wanted = [
      'basicConstraints=critical,CA:FALSE',
      'keyUsage=critical,digitalSignature,keyEncipherment',
      'extendedKeyUsage=serverAuth,clientAuth',
    ];
    if (alternatives !== undefined) wanted.push(`subjectAltName=${alternatives}`);
    await openssl(
      ...[...request, '-CA', file('ca.crt'), '-CAkey', file('ca.key'), '-days', DAYS, '-subj', subject],
      ...[...extensions(wanted), '-keyout', file(`${name}.key`), '-out', file(`${name}.crt`)],
    );
    return { certificate: file(`${name}.crt`), key: file(`${name}.key`), ca: file('ca.crt') };
  };
  return {
    file,
    certificate,
    async kubeconfig(name, subject, alternatives) {
      const made = await certificate(name, subject, alternatives);
      const config = {
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'testbed', cluster: { server, 'certificate-authority': made.ca } }],
        users: [{ name, user: { 'client-certificate': made.certificate, 'client-key': made.key } }],
        contexts: [{ name: 'testbed', context: { cluster: 'testbed', user: name } }],
        'current-context': 'testbed',
      };
      const path = file(`${name}.conf`);
      await writeFile(path, JSON.stringify(config, null, 2));
      return path;
    },
  };
}
