// Every readable file below /proc/sys. Write-only ones and those that act on being read are never opened.

import { lstatSync, readdirSync } from 'node:fs';
import { type GapReport, gap } from '../../../capture/index.ts';
import { textField } from '../../../evidence/index.ts';
import { fileMode } from '../../host/file-fields.ts';
import type { Host } from '../../host/host.ts';
import { readWhole, unreadable } from '../../host/kernel-file.ts';

const VALUE_BYTES = 64 * 1024;
const MOST = 50_000; // a machine has some 1,500, and some dozens more for each interface
const DEEPEST = 16;
const A_SLICE = 256; // files between two turns of the event loop

/** Reading these does something to the machine. */
const ACTING: Readonly<Record<string, string>> = {
  'vm/stat_refresh': 'reading it folds the counters of every processor',
  'vm/compact_memory': 'it compacts memory',
  'vm/drop_caches': 'it drops caches',
  'net/ipv4/route/flush': 'it flushes the routing cache',
  'net/ipv6/route/flush': 'it flushes the routing cache',
};

/**
 * Rows of sysctls.jsonl; gaps go to `gaps`. Other file systems below (binfmt_misc, or an automount in its place) are
 * not entered. net/ shows the network namespace of whoever reads.
 */
export async function* sysctls(
  host: Host,
  gaps: GapReport[],
  signal: AbortSignal,
): AsyncGenerator<Record<string, unknown>> {
  const root = `${host.proc}/sys`;
  let device: number;
  try {
    device = lstatSync(root).dev;
  } catch (error) {
    const failure = unreadable(error);
    gaps.push(gap(failure.reason, '/proc/sys', failure.detail));
    return;
  }
  let count = 0;
  for (const path of filesBelow(root, '', device, 0, gaps)) {
    if (++count > MOST) {
      gaps.push(gap('truncated', '/proc/sys', `limit of ${MOST} files; how many are left was not counted`));
      return;
    }
    if (count % A_SLICE === 0) {
      signal.throwIfAborted();
      await new Promise(setImmediate);
    }
    const row = sysctl(root, path, gaps);
    if (row !== undefined) yield row;
  }
}

function sysctl(root: string, path: string, gaps: GapReport[]): Record<string, unknown> | undefined {
  const acting = ACTING[path];
  if (acting !== undefined) {
    gaps.push(gap('skipped', `/proc/sys/${path}`, `${acting}: not opened`));
    return undefined;
  }
  const found = readWhole(`${root}/${path}`, VALUE_BYTES);
  if (found.kind === 'unreadable') {
    const unset = path.endsWith('/stable_secret') && found.detail.startsWith('EIO'); // ip-sysctl.rst: none was set
    gaps.push(gap(unset ? 'absent' : found.reason, `/proc/sys/${path}`, unset ? 'no secret is set' : found.detail));
    return undefined;
  }
  if (found.more) gaps.push(gap('truncated', `/proc/sys/${path}`, `limit of ${VALUE_BYTES} bytes a value`));
  const value = found.bytes.at(-1) === 0x0a ? found.bytes.subarray(0, -1) : found.bytes;
  return {
    impound: {
      sysctl: {
        // sysctl(8) writes "/" within a name as "."; a dot within (an interface "eth0.7") as "/"
        name: path.replace(/[./]/g, (character) => (character === '/' ? '.' : '/')),
        ...textField('value', value),
        mode: fileMode(found.stats.mode),
      },
    },
  };
}

function* filesBelow(root: string, below: string, device: number, depth: number, gaps: GapReport[]): Generator<string> {
  let entries: ReturnType<typeof list>;
  try {
    entries = list(`${root}/${below}`);
  } catch (error) {
    const failure = unreadable(error);
    gaps.push(gap(failure.reason, `/proc/sys/${below}`, failure.detail));
    return;
  }
  for (const entry of entries) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (!entry.isDirectory()) {
      yield path;
      continue;
    }
    if (deviceOf(`${root}/${path}`, path, gaps) !== device) continue; // gone with its interface, or another file system
    if (depth < DEEPEST) yield* filesBelow(root, path, device, depth + 1, gaps);
    else gaps.push(gap('truncated', `/proc/sys/${path}`, `limit of ${DEEPEST} levels`));
  }
}

/** lstat does not trigger an automount. */
function deviceOf(full: string, path: string, gaps: GapReport[]): number | undefined {
  try {
    return lstatSync(full, { throwIfNoEntry: false })?.dev;
  } catch (error) {
    const failure = unreadable(error);
    gaps.push(gap(failure.reason, `/proc/sys/${path}`, failure.detail));
    return undefined;
  }
}

function list(path: string) {
  return readdirSync(path, { withFileTypes: true });
}
