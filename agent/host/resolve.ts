// Follows links as the host itself would, without ever leaving its root, for those who want the path and not the file.
import { closeSync } from 'node:fs';
import { Refusal } from './errno.ts';
import { type Mounts, readMounts } from './mounts.ts';
import { pinAt } from './pin.ts';

/**
 * The path below `root` that `path` leads to, without links in it, "/" first. Throws the system's errors, ELOOP included,
 * and a Refusal where the way is on a file system that may never answer. What a link leads to may have changed by the
 * time the result is used: whoever opens it follows no link again.
 */
export function resolveBelow(root: string, path: string): string {
  return resolver(root)(path);
}

/** resolveBelow() for many paths: what is mounted is read once, at the first. */
export function resolver(root: string): (path: string) => string {
  let mounts: Mounts | undefined;
  return (path) => {
    mounts ??= readMounts();
    const { fd, path: found } = pinAt({ path: root, mounts, withKernel: true }, Buffer.from(path), 'all');
    closeSync(fd);
    const text = found.toString('utf8');
    if (Buffer.from(text).equals(found)) return `/${text}`;
    throw new Refusal('skipped', 'a link on the way leads to a name that is no UTF-8');
  };
}
