// Where the host's files are: "/" on the machine itself, a mount of the host's root in a container.
import { join } from 'node:path';

export interface Host {
  /** The host's root directory as this process sees it. */
  readonly root: string;
  readonly proc: string;
  readonly sys: string;
  /** A host path ("/etc/os-release") as this process sees it. */
  path(hostPath: string): string;
}

/** A Host below `root`; `proc` and `sys` may stand elsewhere (tests give temporary trees). */
export function hostAt(root: string, places: { readonly proc?: string; readonly sys?: string } = {}): Host {
  return {
    root,
    proc: places.proc ?? join(root, 'proc'),
    sys: places.sys ?? join(root, 'sys'),
    path: (hostPath) => join(root, hostPath),
  };
}
