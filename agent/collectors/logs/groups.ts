// Where a node's logs are, by who writes them; and the histories of shells and programs in users' homes.
import type { FileGroup } from '../files/find.ts';

const MIB = 1024 ** 2;
/** Of one log; the newest bytes are kept. */
const LOG_BYTES = 512 * MIB;
/** Of one journal file: systemd's own limit is 128 MiB by default, 4 GiB at most. Its start holds its index. */
const JOURNAL_BYTES = 4096 * MIB;
/** Of one container's log file: the kubelet rotates at 10 MiB by default. */
const POD_BYTES = 128 * MIB;
/** A record of 292 bytes for each UID up to the highest that ever logged in: sparse, 1 TiB for UIDs of containers. */
const LASTLOG_BYTES = 64 * MIB;
/** Of one log of a web server or a database: what an intruder came in by is in its newest lines. */
const SERVICE_BYTES = 64 * MIB;
const HISTORY_BYTES = 16 * MIB;
/** sizeof(struct utmp) on every 64-bit Linux, utmp(5). */
const UTMP_RECORD = 384;

export const HOST_LOGS: readonly FileGroup[] = [
  log(
    'auth',
    `/var/log/auth.log* /var/log/secure* /var/log/sudo.log* /var/log/sudo-io/** /var/log/sssd/** /var/log/tallylog
     /var/run/faillock/* /var/lib/sss/secrets/*.log`,
  ),
  {
    ...log('logins', '/var/log/wtmp* /var/log/btmp* /var/run/utmp /run/utmp /etc/utmp'),
    record: UTMP_RECORD,
  },
  {
    ...log('last logins', '/var/log/lastlog* /var/log/faillog* /var/lib/wtmpdb/* /var/lib/lastlog/*'),
    fileBytes: LASTLOG_BYTES,
  },
  log('audit', '/var/log/audit/** /var/log/audit.log*'),
  log(
    'syslog',
    `/var/log/syslog* /var/log/messages* /var/log/kern.log* /var/log/daemon.log* /var/log/user.log* /var/log/debug*
     /var/log/cron* /var/log/mail.* /var/log/maillog* /var/log/dmesg* /var/log/boot.log* /var/log/ufw.log*
     /var/log/firewalld*`,
  ),
  log(
    'packages',
    `/var/log/dpkg.log* /var/log/apt/** /var/log/alternatives.log* /var/log/unattended-upgrades/** /var/log/yum.log*
     /var/log/dnf*.log* /var/log/hawkey.log* /var/log/zypp/** /var/log/pacman.log* /var/log/apk.log*
     /var/lib/dnf/history.sqlite* /var/lib/dnf/history/*`,
  ),
  log(
    'sensor',
    `/var/log/falco* /var/log/falco*/** /var/run/cilium/tetragon/*.log* /var/log/tetragon* /var/log/tetragon*/**
     /var/run/cilium/hubble/*.log* /var/log/osquery/** /var/ossec/logs/** /var/log/clamav/** /var/log/fail2ban.log*
     /var/log/sysdig*/** /var/log/suricata/**`,
  ),
  log(
    'cloud',
    `/var/log/cloud-init* /var/log/amazon/** /var/log/aws*/** /var/log/waagent.log* /var/log/azure/**
     /var/log/google*/** /run/cloud-init/*.log /run/cloud-init/*.json`,
  ),
  log(
    'kubernetes',
    `/var/log/kubelet* /var/log/kubelet*/** /var/log/kube-* /var/log/kube*/** /var/log/kubernetes/**
     /var/log/calico/** /var/log/cilium*/** /var/log/aws-routed-eni/** /var/lib/rancher/*/agent/logs/**
     /var/lib/rancher/*/server/logs/** /var/log/k3s* /var/log/etcd* /var/log/openshift-*/**
     /var/log/oauth-apiserver/** /var/log/kube-apiserver*/**`,
  ),
  log(
    'container engine',
    `/var/log/containerd* /var/log/containerd*/** /var/log/docker* /var/log/docker*/** /var/log/crio*
     /var/log/crio*/** /var/log/podman* /var/lib/rancher/*/agent/containerd/containerd.log`,
  ),
  log('remote access', `/var/log/xrdp* /var/log/vsftpd.log* /var/log/xferlog* /var/log/openvpn* /var/log/openvpn*/**`),
  {
    ...log(
      'service',
      `/var/log/nginx/** /var/log/apache2/** /var/log/httpd/** /var/log/caddy/** /var/log/haproxy* /var/log/traefik/**
       /var/log/mysql*/** /var/log/mariadb/** /var/log/postgresql/** /var/log/redis/** /var/log/mongodb/**
       /var/log/tomcat*/** /var/log/*.log`,
    ),
    fileBytes: SERVICE_BYTES,
  },
];

export const JOURNALS: readonly FileGroup[] = [
  { what: 'journal', paths: ['/var/log/journal/**', '/run/log/journal/**'], fileBytes: JOURNAL_BYTES },
];

/** `folders` are further places where a kubelet keeps its pods' logs. */
export function podLogs(folders: readonly string[]): readonly FileGroup[] {
  const podPaths = ['/var/log/pods/**', ...folders.map((folder) => `${folder}/**`)];
  return [
    { what: 'pod log', paths: podPaths, fileBytes: POD_BYTES, keep: 'last' },
    {
      what: "link to a container's log",
      paths: ['/var/log/containers/*'],
      fileBytes: POD_BYTES,
      keep: 'last',
      expected: false,
    },
  ];
}

/** A log that a running program was told to write to; `paths` are literal. */
export function namedLogs(what: string, paths: readonly string[]): FileGroup {
  return { what, paths, fileBytes: LOG_BYTES, keep: 'last', expected: false };
}

export const HISTORIES: readonly FileGroup[] = [
  history(
    'shell history',
    `~/.bash_history* ~/.zsh_history* ~/.zhistory ~/.histfile ~/.ash_history ~/.sh_history ~/.history ~/.ksh_history
     ~/.tcsh_history ~/.local/share/fish/fish_history ~/.config/fish/fish_history ~/.bash_sessions/*
     ~/.zsh_sessions/*`,
  ),
  history(
    'program history',
    `~/.python_history* ~/.node_repl_history ~/.irb_history ~/.php_history ~/.mysql_history ~/.psql_history
     ~/.sqlite_history ~/.rediscli_history ~/.mongo/repl_history ~/.dbshell ~/.gdb_history ~/.lesshst
     ~/.local/state/lesshst ~/.viminfo ~/.vim/.netrwhist ~/.local/state/nvim/shada/* ~/.nano/*_history
     ~/.local/share/nano/*_history ~/.wget-hsts ~/.local/share/recently-used.xbel ~/.sudo_as_admin_successful`,
  ),
];

function log(what: string, paths: string): FileGroup {
  return { what, paths: paths.split(/\s+/), fileBytes: LOG_BYTES, keep: 'last' };
}

function history(what: string, paths: string): FileGroup {
  return { what, paths: paths.split(/\s+/), fileBytes: HISTORY_BYTES, keep: 'last' };
}
