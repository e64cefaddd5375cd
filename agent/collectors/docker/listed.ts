// What the list of containers says of one, before or without its inspection.
import type { Suspect } from '../../context.ts';
import { at, numberAt, textAt, textsAt } from '../../runtime/json.ts';

/** The list's entries with an id, suspects first. */
export function suspectsFirst(entries: readonly unknown[], suspects: readonly Suspect[]): readonly unknown[] {
  const named = entries.filter((entry) => textAt(entry, 'Id') !== undefined);
  return named.sort((a, b) => rank(b, suspects) - rank(a, suspects));
}

/** A list entry in the shape of an inspection, as far as it goes. */
export function fromList(entry: unknown): unknown {
  const created = numberAt(entry, 'Created');
  return {
    Name: textsAt(entry, 'Names')[0],
    Created: created === undefined ? undefined : new Date(created * 1000).toISOString(),
    Image: textAt(entry, 'ImageID'),
    State: { Status: textAt(entry, 'State') },
    Config: { Image: textAt(entry, 'Image'), Labels: at(entry, 'Labels') },
    HostConfig: { NetworkMode: textAt(entry, 'HostConfig', 'NetworkMode') },
    NetworkSettings: at(entry, 'NetworkSettings'),
    Mounts: at(entry, 'Mounts'),
  };
}

function rank(entry: unknown, suspects: readonly Suspect[]): number {
  const id = textAt(entry, 'Id') ?? '';
  const names = textsAt(entry, 'Names');
  const label = (name: string): string | undefined => textAt(entry, 'Labels', `io.kubernetes.pod.${name}`);
  const isSuspect = suspects.some((suspect) => {
    if (suspect.kind === 'container') return id.startsWith(suspect.id) || names.includes(`/${suspect.id}`);
    return suspect.kind === 'pod' && label('name') === suspect.name && label('namespace') === suspect.namespace;
  });
  return isSuspect ? 1 : 0;
}
