// Loaded modules from three places that a rootkit must all lie in: /proc/modules, /sys/module, kallsyms.
import { lstatSync, readdirSync } from 'node:fs';
import { type GapReport, gap } from '../../../capture/index.ts';
import type { Host } from '../../host/host.ts';
import { readWhole, unreadable } from '../../host/kernel-file.ts';
import { columns, decimal } from '../sockets/lines.ts';

export interface Module {
  readonly name: string;
  readonly size?: number;
  readonly references?: number;
  readonly usedBy?: readonly string[];
  readonly state?: string;
  readonly address?: string;
  /** Letters of what it taints the kernel with: "OE". */
  readonly taint?: string;
}

/** One line of /proc/modules: "nf_tables 372736 2 nft_ct,nft_nat, Live 0xffffffffc0a00000 (OE)". */
export function parseModule(line: string): Module | undefined {
  const [name, bytes, count, users, state, address, taint] = columns(line);
  const size = decimal(bytes);
  if (name === undefined || size === undefined || users === undefined || state === undefined) return undefined;
  const references = decimal(count);
  const letters = /^\(([A-Z]+)[+-]?\)$/.exec(taint ?? '')?.[1];
  return {
    name,
    size,
    ...(references === undefined ? {} : { references }), // "-" where modules cannot be unloaded
    usedBy: users === '-' ? [] : users.split(',').filter((user) => user !== ''),
    state: state.toLowerCase(),
    ...(address === undefined ? {} : { address }),
    ...(letters === undefined ? {} : { taint: letters }),
  };
}

const TABLE_BYTES = 4 * 1024 * 1024;

export interface ModuleTable {
  readonly rows: readonly Record<string, unknown>[];
  /** Letters of all modules' taints together; undefined where /proc/modules is not there. */
  readonly taints: string | undefined;
  readonly gaps: readonly GapReport[];
}

/**
 * Every module any of the three knows, with those that do not: `hidden` has the places it is missing from. A built-in
 * has a directory in /sys/module as well, but neither initstate nor refcnt. `fromSymbols` are the names in brackets
 * that kallsyms has; undefined where it could not be read.
 */
export function moduleTable(host: Host, fromSymbols: ReadonlySet<string> | undefined): ModuleTable {
  const gaps: GapReport[] = [];
  const listed = listedModules(host, gaps);
  const inSysfs = sysfsModules(host, gaps);
  const rows: Record<string, unknown>[] = [];
  for (const name of new Set([...(listed?.keys() ?? []), ...(inSysfs ?? []), ...(fromSymbols ?? [])])) {
    const module = listed?.get(name);
    const hidden = [
      ...(listed !== undefined && module === undefined ? ['/proc/modules'] : []),
      ...(inSysfs !== undefined && !inSysfs.has(name) ? ['/sys/module'] : []),
    ];
    const seen = [
      ...(module === undefined ? [] : ['/proc/modules']),
      ...(inSysfs?.has(name) ? ['/sys/module'] : []),
      ...(fromSymbols?.has(name) ? ['/proc/kallsyms'] : []),
    ];
    rows.push({
      impound: {
        module: { ...(module ?? { name }), ...sysfsFacts(host, name) },
        seen,
        ...(hidden.length > 0 ? { hidden } : {}),
      },
    });
  }
  const letters = listed === undefined ? undefined : [...listed.values()].map(({ taint }) => taint ?? '').join('');
  return { rows, taints: letters, gaps };
}

function listedModules(host: Host, gaps: GapReport[]): Map<string, Module> | undefined {
  const found = readWhole(`${host.proc}/modules`, TABLE_BYTES);
  if (found.kind === 'unreadable') {
    gaps.push(
      gap(
        found.reason,
        '/proc/modules',
        found.reason === 'absent' ? 'this kernel has no loadable modules, or something hides the file' : found.detail,
      ),
    );
    return undefined;
  }
  if (found.more) gaps.push(gap('truncated', '/proc/modules', `limit of ${TABLE_BYTES} bytes`));
  const modules = new Map<string, Module>();
  let bad = 0;
  for (const line of found.bytes.toString('latin1').split('\n')) {
    const module = parseModule(line);
    if (module !== undefined) modules.set(module.name, module);
    else if (line !== '') bad++;
  }
  if (bad > 0)
    gaps.push(
      gap('failed', '/proc/modules', `${bad} lines could not be read as modules: the raw file is in raw.tar.zst`),
    );
  return modules;
}

/** Names in /sys/module that were loaded: they have a state, a reference count or sections. */
function sysfsModules(host: Host, gaps: GapReport[]): ReadonlySet<string> | undefined {
  const directory = `${host.sys}/module`;
  try {
    const marks = ['initstate', 'refcnt', 'sections'];
    const loaded = (name: string): boolean =>
      marks.some((mark) => lstatSync(`${directory}/${name}/${mark}`, { throwIfNoEntry: false }) !== undefined);
    return new Set(readdirSync(directory).filter(loaded));
  } catch (error) {
    const failure = unreadable(error);
    gaps.push(gap(failure.reason, '/sys/module', failure.detail));
    return undefined;
  }
}

function sysfsFacts(host: Host, name: string): Record<string, unknown> {
  if (name.includes('/') || name === '..' || name === '.') return {};
  const read = (file: string): string | undefined => {
    const found = readWhole(`${host.sys}/module/${name}/${file}`, 4096);
    return found.kind === 'whole' ? found.bytes.toString('utf8').trim() || undefined : undefined;
  };
  return {
    version: read('version'),
    sourceVersion: read('srcversion'),
    sysfsState: read('initstate'),
    sysfsTaint: read('taint'),
    textAddress: read('sections/.text'),
  };
}
