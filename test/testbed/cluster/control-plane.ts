// etcd, the API server, the controller manager and the scheduler, as processes in a bed.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bed } from './bed.ts';
import type { Pki } from './pki.ts';

export const API_SERVER = 'https://127.0.0.1:16443';
const ETCD = 'https://127.0.0.1:12379';
const PEER = 'http://127.0.0.1:12380';
const READY_SECONDS = 60;

/** `address` is where nodes and pods reach the API server. `programs` is the folder of Kubernetes' commands. */
export async function startControlPlane(bed: Bed, pki: Pki, programs: string, address: string): Promise<void> {
  const names = `DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:${address},IP:10.96.0.1`;
  await Promise.all([
    pki.certificate('apiserver', '/CN=kube-apiserver', names),
    pki.certificate('etcd', '/CN=etcd', 'DNS:localhost,IP:127.0.0.1'),
  ]);
  await pki.certificate('admin', '/O=system:masters/CN=admin');
  await pki.certificate('kubelet-client', '/O=system:masters/CN=kube-apiserver-kubelet-client');
  await pki.certificate('kcm', '/CN=system:kube-controller-manager');
  await pki.certificate('scheduler', '/CN=system:kube-scheduler');
  await bed.start('etcd', 'etcd', etcdWords(bed, pki));
  const audit = join(bed.directory, 'audit.yaml');
  await writeFile(audit, 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n');
  await bed.start('kube-apiserver', join(programs, 'kube-apiserver'), apiServerWords(bed, pki, address, audit));
  const admin = await pki.kubeconfig('admin');
  const kubectl = join(programs, 'kubectl');
  await bed.until('kube-apiserver', READY_SECONDS, () =>
    bed.run(kubectl, ['--kubeconfig', admin, 'get', '--raw', '/readyz']),
  );
  const manager = await pki.kubeconfig('kcm');
  await bed.start('kube-controller-manager', join(programs, 'kube-controller-manager'), [
    ...[`--kubeconfig=${manager}`, `--authentication-kubeconfig=${manager}`, `--authorization-kubeconfig=${manager}`],
    ...['--bind-address=127.0.0.1', '--secure-port=20257', '--leader-elect=false', '--use-service-account-credentials'],
    ...[`--service-account-private-key-file=${pki.file('sa.key')}`, `--root-ca-file=${pki.file('ca.crt')}`],
    ...[`--cluster-signing-cert-file=${pki.file('ca.crt')}`, `--cluster-signing-key-file=${pki.file('ca.key')}`],
  ]);
  const scheduler = await pki.kubeconfig('scheduler');
  await bed.start('kube-scheduler', join(programs, 'kube-scheduler'), [
    ...[`--kubeconfig=${scheduler}`, `--authentication-kubeconfig=${scheduler}`],
    ...[`--authorization-kubeconfig=${scheduler}`, '--bind-address=127.0.0.1', '--secure-port=20259'],
    '--leader-elect=false',
  ]);
}

function etcdWords(bed: Bed, pki: Pki): readonly string[] {
  return [
    ...[`--data-dir=${join(bed.directory, 'etcd')}`, `--listen-client-urls=${ETCD}`, `--advertise-client-urls=${ETCD}`],
    ...[`--listen-peer-urls=${PEER}`, `--initial-advertise-peer-urls=${PEER}`, `--initial-cluster=default=${PEER}`],
    ...[`--cert-file=${pki.file('etcd.crt')}`, `--key-file=${pki.file('etcd.key')}`, '--client-cert-auth'],
    ...[`--trusted-ca-file=${pki.file('ca.crt')}`, '--unsafe-no-fsync'],
  ];
}

function apiServerWords(bed: Bed, pki: Pki, address: string, audit: string): readonly string[] {
  const issuer = 'https://kubernetes.default.svc';
  return [
    ...[`--etcd-servers=${ETCD}`, `--etcd-cafile=${pki.file('ca.crt')}`],
    ...[`--etcd-certfile=${pki.file('etcd.crt')}`, `--etcd-keyfile=${pki.file('etcd.key')}`],
    ...['--bind-address=0.0.0.0', '--secure-port=16443', `--advertise-address=${address}`],
    ...[`--tls-cert-file=${pki.file('apiserver.crt')}`, `--tls-private-key-file=${pki.file('apiserver.key')}`],
    ...[`--client-ca-file=${pki.file('ca.crt')}`, '--authorization-mode=Node,RBAC', '--anonymous-auth=false'],
    ...['--enable-admission-plugins=NodeRestriction', '--service-cluster-ip-range=10.96.0.0/16'],
    ...['--allow-privileged=true', `--service-account-issuer=${issuer}`, `--api-audiences=${issuer}`],
    `--service-account-key-file=${pki.file('sa.pub')}`,
    `--service-account-signing-key-file=${pki.file('sa.key')}`,
    `--kubelet-client-certificate=${pki.file('kubelet-client.crt')}`,
    `--kubelet-client-key=${pki.file('kubelet-client.key')}`,
    ...[`--kubelet-certificate-authority=${pki.file('ca.crt')}`, '--kubelet-preferred-address-types=InternalIP'],
    ...[`--audit-policy-file=${audit}`, `--audit-log-path=${join(bed.directory, 'log', 'audit')}`],
  ];
}
