// The way into a network namespace without setns(2): /proc/PID/net of any process that lives in it.
import { readdirSync } from 'node:fs';
import type { Host } from '../../host/host.ts';
import { type OpenFile, openFile, type Unreadable, unreadable } from '../../host/kernel-file.ts';
import { type Namespace, netnsOf } from './namespaces.ts';

/** A way into a namespace: its processes one after the other, as each vanishes, is denied or leaves. */
export interface Door {
  list(): ReadonlySet<string> | Unreadable;
  open(file: string): OpenFile | Unreadable;
  pid(): number | undefined;
}

export function openDoor(host: Host, namespace: Namespace): Door {
  let at = 0;
  const current = (): number | undefined => namespace.members[at]?.pid;
  /** Tries the processes from the current one on; a failure counts as the process' only if it has left. */
  const through = <T extends object>(
    attempt: (directory: string) => T | Unreadable,
    sticky: boolean,
  ): T | Unreadable => {
    let failure: Unreadable = { kind: 'unreadable', reason: 'vanished', detail: 'every process in it has gone' };
    for (let pid = current(); pid !== undefined; pid = current()) {
      if (netnsOf(host, pid) === namespace.inode) {
        const result = attempt(`${host.proc}/${pid}/net`);
        if (!isUnreadable(result)) return result;
        failure = result;
        if (sticky && netnsOf(host, pid) === namespace.inode) return failure;
      }
      at++;
    }
    return failure;
  };
  return {
    list: () => through((directory) => listing(directory), false),
    open: (file) => through((directory) => openFile(`${directory}/${file}`), true),
    pid: current,
  };
}

export function isUnreadable(value: object): value is Unreadable {
  return 'kind' in value && value.kind === 'unreadable';
}

function listing(directory: string): ReadonlySet<string> | Unreadable {
  try {
    return new Set(readdirSync(directory));
  } catch (error) {
    return unreadable(error);
  }
}
