// Operating system, kernel, and what confines processes on this machine.
import { existsSync, readdirSync } from 'node:fs';
import type { Host } from '../../host/host.ts';
import { assignments, type PartReader } from './parts.ts';

export function operatingSystem(read: PartReader): Record<string, unknown> {
  const release = assignments(read.file('/usr/lib/os-release') ?? read.file('/etc/os-release'));
  return {
    host: {
      hostname: read.proc('sys/kernel/hostname'),
      id: read.file('/etc/machine-id'),
      uptimeSeconds: Number(read.proc('uptime')?.split(' ')[0] ?? 0),
      bootId: read.proc('sys/kernel/random/boot_id'),
      domain: read.proc('sys/kernel/domainname'),
      os: {
        platform: release.ID,
        name: release.NAME,
        version: release.VERSION_ID,
        full: release.PRETTY_NAME,
        variant: release.VARIANT_ID,
      },
    },
    timezone: read.file('/etc/timezone'),
  };
}

export function kernel(read: PartReader): Record<string, unknown> {
  return {
    release: read.proc('sys/kernel/osrelease'),
    version: read.proc('version'),
    commandLine: read.proc('cmdline', 16_384),
    architecture: process.arch,
    tainted: Number(read.proc('sys/kernel/tainted') ?? 0),
    pidMax: Number(read.proc('sys/kernel/pid_max') ?? 0),
  };
}

export function confinement(host: Host, read: PartReader): Record<string, unknown> {
  return {
    cgroups: cgroups(host, read),
    security: {
      modules: read.sys('kernel/security/lsm')?.split(',') ?? [],
      lockdown: /\[(\w+)\]/.exec(read.sys('kernel/security/lockdown') ?? '')?.[1],
      selinux: { '0': 'permissive', '1': 'enforcing' }[read.sys('fs/selinux/enforce') ?? ''],
      apparmor: read.sys('module/apparmor/parameters/enabled') === 'Y',
      ptraceScope: read.proc('sys/kernel/yama/ptrace_scope'),
      unprivilegedUserNamespaces: read.proc('sys/kernel/unprivileged_userns_clone'),
      unprivilegedBpf: read.proc('sys/kernel/unprivileged_bpf_disabled'),
    },
  };
}

/** v2 where the unified hierarchy stands at the mount point itself, hybrid where it stands below v1's. */
function cgroups(host: Host, read: PartReader): Record<string, unknown> {
  const at = `${host.sys}/fs/cgroup`;
  const unified = existsSync(`${at}/cgroup.controllers`);
  const hybrid = existsSync(`${at}/unified/cgroup.controllers`);
  const version = unified ? 'v2' : hybrid ? 'v1 and v2 (hybrid)' : existsSync(at) ? 'v1' : undefined;
  const controllers = (read.proc('cgroups') ?? '')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split('\t')[0]);
  return { version, controllers, hierarchies: version?.startsWith('v1') ? names(at) : undefined };
}

function names(folder: string): readonly string[] {
  try {
    return readdirSync(folder).slice(0, 100);
  } catch {
    return []; // the version was said already; which hierarchies there are is in the mounts too
  }
}
