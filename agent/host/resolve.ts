// Follows links as the host itself would, without ever leaving its root: RESOLVE_IN_ROOT of openat2(2), done by hand.
import { closeSync } from 'node:fs';
import { errnoOf, Refusal } from './errno.ts';
import { childPath, pinBelow, readLink } from './open.ts';

/** As many as the kernel follows, see path_resolution(7). */
const MAX_LINKS = 40;

/**
 * The path below `root` that `path` leads to, without links in it, "/" first. Throws the system's errors, ELOOP included.
 * What a link leads to may have changed by the time the result is used: whoever opens it follows no link again.
 */
export function resolveBelow(root: string, path: string): string {
  const waiting = path.split('/').reverse();
  const done: string[] = [];
  let links = 0;
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      done.pop();
      continue;
    }
    const target = linkTarget(root, done.join('/'), name);
    if (target === undefined) {
      done.push(name);
      continue;
    }
    if (++links > MAX_LINKS) throw Object.assign(new Error('too many links'), { code: 'ELOOP' });
    if (target.startsWith('/')) done.length = 0;
    waiting.push(...target.split('/').reverse());
  }
  return `/${done.join('/')}`;
}

/** Undefined for what is no link. */
function linkTarget(root: string, folder: string, name: string): string | undefined {
  const parent = pinBelow(root, folder);
  try {
    const raw = readLink(childPath(parent, name));
    const text = raw.toString('utf8');
    if (Buffer.from(text).equals(raw)) return text;
    throw new Refusal('skipped', 'a link on the way leads to a name that is no UTF-8');
  } catch (error) {
    if (errnoOf(error) === 'EINVAL') return undefined;
    throw error;
  } finally {
    closeSync(parent);
  }
}
