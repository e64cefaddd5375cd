// etcd, the API server, the controller manager and the scheduler, as processes in a place of their own.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Api, openApi } from './api.ts';
import { auditLog } from './audit.ts';
import { until } from './bed.ts';
import type { Daemon } from './daemon.ts';
import { API_SERVICE, CONTROL_ADDRESS, SERVICES } from './network.ts';
import type { Certificate, Pki } from './pki.ts';
import type { Place } from './place.ts';
import { startRelay } from './relays.ts';

/** Where processes of the bed and pods reach the API server. */
export const API_SERVER = `https://${CONTROL_ADDRESS}:16443`;
const ETCD = 'https://127.0.0.1:12379';
const PEER = 'http://127.0.0.1:12380';
const READY_SECONDS = 60;

export interface ApiServer extends Pick<Daemon, 'pause' | 'resume'> {
  kill(): Promise<unknown>;
  /** Ready when it resolves. */
  start(): Promise<void>;
}

export interface ControlPlane {
  readonly api: Api;
  readonly admin: Certificate & { readonly kubeconfig: string };
  readonly apiServer: ApiServer;
  readonly controllerManager: Daemon;
  readonly scheduler: Daemon;
  close(): void;
}

/** Ready when the API server is. `programs` is the folder of Kubernetes' commands, `folder` the place's. */
export async function startControlPlane(
  place: Place,
  folder: string,
  pki: Pki,
  programs: string,
): Promise<ControlPlane> {
  const names = `DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:${CONTROL_ADDRESS},IP:${API_SERVICE}`;
  const [adminConfig, managerConfig, schedulerConfig] = await Promise.all([
    pki.kubeconfig('admin', '/O=system:masters/CN=admin'),
    pki.kubeconfig('kcm', '/CN=system:kube-controller-manager'),
    pki.kubeconfig('scheduler', '/CN=system:kube-scheduler'),
    pki.certificate('apiserver', '/CN=kube-apiserver', names),
    pki.certificate('etcd', '/CN=etcd', 'DNS:localhost,IP:127.0.0.1'),
    pki.certificate('kubelet-client', '/O=system:masters/CN=kube-apiserver-kubelet-client'),
  ]);
  const audit = join(folder, 'audit.yaml');
  await writeFile(audit, 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n');
  await place.start('etcd', 'etcd', etcdWords(folder, pki));
  const program = (name: string): string => join(programs, name);
  const apiServer = await place.start('kube-apiserver', program('kube-apiserver'), apiServerWords(folder, pki, audit));
  const socket = join(folder, 'api.sock');
  await startRelay(place, 'relay-api', socket, '127.0.0.1:16443');
  const client = { certificate: pki.file('admin.crt'), key: pki.file('admin.key'), ca: pki.file('ca.crt') };
  const { api, close } = await openApi(socket, client);
  const ready = (): Promise<void> => until(apiServer, READY_SECONDS, () => api('GET', '/readyz'));
  await ready();
  const identity = (config: string): string[] =>
    ['kubeconfig', 'authentication-kubeconfig', 'authorization-kubeconfig'].map((flag) => `--${flag}=${config}`);
  const controllerManager = await place.start('kube-controller-manager', program('kube-controller-manager'), [
    ...[...identity(managerConfig), '--bind-address=127.0.0.1', '--secure-port=20257', '--leader-elect=false'],
    ...['--use-service-account-credentials', `--service-account-private-key-file=${pki.file('sa.key')}`],
    ...[`--root-ca-file=${client.ca}`, `--cluster-signing-cert-file=${client.ca}`],
    `--cluster-signing-key-file=${pki.file('ca.key')}`,
  ]);
  const scheduler = await place.start('kube-scheduler', program('kube-scheduler'), [
    ...[...identity(schedulerConfig), '--bind-address=127.0.0.1', '--secure-port=20259', '--leader-elect=false'],
  ]);
  return {
    api,
    admin: { ...client, kubeconfig: adminConfig },
    apiServer: {
      kill: () => apiServer.kill(),
      async start() {
        await apiServer.start();
        await ready();
      },
      pause: () => apiServer.pause(),
      resume: () => apiServer.resume(),
    },
    controllerManager,
    scheduler,
    close,
  };
}

function etcdWords(folder: string, pki: Pki): readonly string[] {
  return [
    ...[`--data-dir=${join(folder, 'etcd')}`, `--listen-client-urls=${ETCD}`, `--advertise-client-urls=${ETCD}`],
    ...[`--listen-peer-urls=${PEER}`, `--initial-advertise-peer-urls=${PEER}`, `--initial-cluster=default=${PEER}`],
    ...[`--cert-file=${pki.file('etcd.crt')}`, `--key-file=${pki.file('etcd.key')}`, '--client-cert-auth'],
    ...[`--trusted-ca-file=${pki.file('ca.crt')}`, '--unsafe-no-fsync'],
  ];
}

function apiServerWords(folder: string, pki: Pki, audit: string): readonly string[] {
  const issuer = 'https://kubernetes.default.svc';
  return [
    ...[`--etcd-servers=${ETCD}`, `--etcd-cafile=${pki.file('ca.crt')}`],
    ...[`--etcd-certfile=${pki.file('etcd.crt')}`, `--etcd-keyfile=${pki.file('etcd.key')}`],
    ...['--bind-address=0.0.0.0', '--secure-port=16443', `--advertise-address=${CONTROL_ADDRESS}`],
    ...[`--tls-cert-file=${pki.file('apiserver.crt')}`, `--tls-private-key-file=${pki.file('apiserver.key')}`],
    ...[`--client-ca-file=${pki.file('ca.crt')}`, '--authorization-mode=Node,RBAC', '--anonymous-auth=false'],
    ...['--enable-admission-plugins=NodeRestriction', `--service-cluster-ip-range=${SERVICES}`],
    ...['--allow-privileged=true', `--service-account-issuer=${issuer}`, `--api-audiences=${issuer}`],
    `--service-account-key-file=${pki.file('sa.pub')}`,
    `--service-account-signing-key-file=${pki.file('sa.key')}`,
    `--kubelet-client-certificate=${pki.file('kubelet-client.crt')}`,
    `--kubelet-client-key=${pki.file('kubelet-client.key')}`,
    ...[`--kubelet-certificate-authority=${pki.file('ca.crt')}`, '--kubelet-preferred-address-types=InternalIP'],
    ...[`--audit-policy-file=${audit}`, `--audit-log-path=${auditLog(folder)}`],
  ];
}
