// What is known of one kind's objects, and what of it has changed.
import type { KubernetesObject } from './client.ts';

export interface ObjectCache<T> {
  get(name: string): T | undefined;
  all(): readonly T[];
  /** Of a list: what is new or other than before is told, and what is not in it any more. */
  replace(objects: readonly T[]): void;
  /** Of a watch's event. */
  take(deleted: boolean, object: T): void;
}

export function objectCache<T extends KubernetesObject>(
  changed: (name: string, object: T | undefined) => void,
): ObjectCache<T> {
  const objects = new Map<string, T>();

  const remove = (name: string): void => {
    if (objects.delete(name)) changed(name, undefined);
  };
  const set = (object: T): void => {
    const name = nameOf(object);
    const before = objects.get(name);
    if (before?.metadata.resourceVersion === object.metadata.resourceVersion) return;
    // the one before was deleted while nobody looked: two objects, whatever they have in common
    if (before !== undefined && before.metadata.uid !== object.metadata.uid) remove(name);
    objects.set(name, object);
    changed(name, object);
  };

  return {
    get: (name) => objects.get(name),
    all: () => [...objects.values()],
    replace(listed) {
      const names = new Set(listed.map(nameOf));
      for (const name of objects.keys()) if (!names.has(name)) remove(name);
      for (const object of listed) set(object);
    },
    take(deleted, object) {
      if (deleted) remove(nameOf(object));
      else set(object);
    },
  };
}

/** `NAMESPACE/NAME`, or `NAME` of what is in none. */
export function nameOf({ metadata }: KubernetesObject): string {
  return metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`;
}
