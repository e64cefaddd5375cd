// Logs at places of the administrator's choice: the API server's and the kubelet's command lines say where.
import { closeSync, readSync } from 'node:fs';
import type { NodeContext } from '../../context.ts';
import { gapOf } from '../../host/errno.ts';
import { openPinned } from '../../host/open.ts';
import { pinAt } from '../../host/pin.ts';
import { readKernelText } from '../../host/read.ts';
import type { FileGroup } from '../files/find.ts';
import { hostRoot } from '../files/list.ts';
import { mountTable, translate } from '../files/mount-table.ts';
import { namedLogs } from './groups.ts';

/** execve(2) allows an argument of 128 KiB; a kubelet's whole line has some 2. */
const MAX_CMDLINE = 256 * 1024;
const MAX_CONFIG = 1024 * 1024;
const MAX_PROCESSES = 16;
const MAX_PATHS = 32;

/** kube-apiserver's own options, and klog's. */
const FILES = ['audit-log-path', 'log-file'];
const FOLDERS = ['log-dir'];

export interface Named {
  readonly groups: readonly FileGroup[];
  /** Where kubelets keep their pods' logs beside /var/log/pods. */
  readonly podFolders: readonly string[];
}

export async function namedPlaces(context: NodeContext): Promise<Named> {
  const groups: FileGroup[] = [];
  const podFolders = new Set<string>();
  const wanted = (await context.walk.index()).filter(({ comm }) => comm === 'kubelet' || comm === 'kube-apiserver');
  for (const { pid, comm } of wanted.slice(0, MAX_PROCESSES)) {
    try {
      const args = readKernelText(`${context.host.proc}/${pid}/cmdline`, MAX_CMDLINE).split('\0');
      const places = outsideOf(context, pid);
      const paths = logPaths(args).flatMap((path) => places(path) ?? []);
      if (paths.length > 0) groups.push(namedLogs(comm, paths));
      const folder = comm === 'kubelet' ? podLogsFolder(context, args, places) : undefined;
      if (folder !== undefined) podFolders.add(folder);
    } catch (error) {
      context.gap(gapOf(error, `pid ${pid}: where ${comm} keeps its logs`));
    }
  }
  const left = wanted.length - MAX_PROCESSES;
  const detail = `more than ${MAX_PROCESSES} kubelets and API servers`;
  if (left > 0) context.gap({ reason: 'truncated', name: `${left} processes left`, detail });
  return { groups, podFolders: [...podFolders] };
}

/** "-" is standard output. */
function logPaths(args: readonly string[]): readonly string[] {
  const files = FILES.flatMap((name) => valuesOf(args, name)).filter(isPath);
  // rotated ones stand beside it: audit.log, audit-2024-05-01T10-00-00.000.log
  const rotated = files.map((file) => file.replace(/(\.[^./]*)?$/, '-*$1'));
  const folders = FOLDERS.flatMap((name) => valuesOf(args, name)).filter(isPath);
  return [...files, ...rotated, ...folders.map((folder) => `${folder}/*`)].slice(0, MAX_PATHS);
}

type Translation = (path: string) => string | undefined;

/** A process may stand in a container, with the node's folder mounted elsewhere. What is nowhere else is a gap. */
function outsideOf(context: NodeContext, pid: number): Translation {
  const own = mountTable('/proc/self/mountinfo');
  const inside = mountTable(`${context.host.proc}/${pid}/mountinfo`);
  const root = Buffer.from(context.host.root).toString('latin1');
  return (path) => {
    const [hostPath] = translate(path, inside, own).flatMap((outside) => belowRoot(outside, root) ?? []);
    if (hostPath !== undefined) return hostPath;
    const detail = "inside its container only: the container's layer has it";
    context.gap({ reason: 'skipped', name: `${path} of pid ${pid}`, detail });
    return undefined;
  };
}

function belowRoot(path: string, root: string): string | undefined {
  if (root === '/') return path;
  return path.startsWith(`${root}/`) ? path.slice(root.length) : undefined;
}

/** `podLogsDir` of the kubelet's configuration; YAML or JSON, whose first level is enough. */
function podLogsFolder(context: NodeContext, args: readonly string[], places: Translation): string | undefined {
  const config = valuesOf(args, 'config').find(isPath);
  const path = config === undefined ? undefined : places(config);
  if (path === undefined) return undefined;
  const pinned = pinAt(hostRoot(context), Buffer.from(path, 'latin1'), 'all');
  try {
    const { fd } = openPinned(pinned.fd);
    try {
      const bytes = Buffer.allocUnsafe(MAX_CONFIG);
      const text = bytes.toString('latin1', 0, readSync(fd, bytes, 0, bytes.length, 0));
      const folder = /^[ \t]*"?podLogsDir"?[ \t]*:[ \t]*["']?(\/[^"'\n,#]+)/m.exec(text)?.[1]?.trim();
      return folder === undefined || !isPath(folder) ? undefined : places(folder.replace(/\/+$/, ''));
    } finally {
      closeSync(fd);
    }
  } finally {
    closeSync(pinned.fd);
  }
}

/** Both "--name=value" and "--name value", as pflag reads them. */
function valuesOf(args: readonly string[], name: string): readonly string[] {
  return args.flatMap((arg, index) => {
    if (arg === `--${name}`) return args[index + 1] ?? [];
    return arg.startsWith(`--${name}=`) ? arg.slice(name.length + 3) : [];
  });
}

/** A hostile command line must not turn into a pattern, nor into all that is below "/". */
function isPath(path: string): boolean {
  return /^\/[^*]+\/[^*]+$/.test(path) && !path.split('/').includes('..');
}
