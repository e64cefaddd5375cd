// Which kernel modules are there already: asking for the rules of one that is not would load it, and change the node.
import { lstatSync } from 'node:fs';
import { basename } from 'node:path';
import type { Host } from '../../host/host.ts';
import { readWhole } from '../../host/kernel-file.ts';
import { readBelow } from '../../host/read.ts';
import { resolveBelow } from '../../host/resolve.ts';

/** `absent` modules hold no rules of anybody; of `unknown` ones it could not be told. */
export type ModuleState = 'there' | 'absent' | 'unknown';

const MODULES_BYTES = 4 * 1024 * 1024;

/**
 * Loaded modules are in /proc/modules and /sys/module, those that are part of the kernel in modules.builtin (kernel
 * document kbuild/kbuild). Without /proc/modules the kernel can load none, and nothing can change.
 */
export function kernelModules(host: Host): (module: string) => ModuleState {
  const loaded = readWhole(`${host.proc}/modules`, MODULES_BYTES);
  if (loaded.kind === 'unreadable' && loaded.reason === 'absent') return () => 'there';
  const names = new Set(
    loaded.kind === 'whole'
      ? loaded.bytes
          .toString('latin1')
          .split('\n')
          .map((line) => line.split(' ', 1)[0])
      : [],
  );
  const builtin = builtinModules(host);
  const certain = loaded.kind === 'whole' && !loaded.more && builtin !== undefined;
  return (module) => {
    if (names.has(module) || builtin?.has(module) === true || hasFolder(host, module)) return 'there';
    return certain ? 'absent' : 'unknown';
  };
}

function builtinModules(host: Host): ReadonlySet<string> | undefined {
  const release = readWhole(`${host.proc}/sys/kernel/osrelease`, 256);
  if (release.kind === 'unreadable') return undefined;
  try {
    const path = `/lib/modules/${release.bytes.toString('latin1').trim()}/modules.builtin`;
    const { bytes, left } = readBelow(host.root, resolveBelow(host.root, path), MODULES_BYTES);
    if (left > 0) return undefined;
    const lines = bytes.toString('latin1').split('\n');
    return new Set(lines.map((line) => basename(line).replace(/\.ko$/, '').replaceAll('-', '_')));
  } catch {
    return undefined; // not on this machine, or not to be read: then it cannot be told
  }
}

function hasFolder(host: Host, module: string): boolean {
  try {
    return lstatSync(`${host.sys}/module/${module}`).isDirectory();
  } catch {
    return false;
  }
}
