// Whose upper directories are archived, in which order, and what each archive is called.
import type { KnownContainer } from '../../containers.ts';
import type { NodeContext } from '../../context.ts';

export interface LayerTarget {
  readonly container: KnownContainer & { readonly layer: NonNullable<KnownContainer['layer']> };
  /** "30-container/layers/ID.tar.zst" */
  readonly path: string;
}

/** Suspects first; in profile `full`, or without suspects, the others too. What has no upper directory is a gap. */
export async function layerTargets(context: NodeContext): Promise<readonly LayerTarget[]> {
  const all = (await context.containers()).containers;
  const suspects = (await context.focus()).containers;
  const others = all.filter((container) => !suspects.includes(container));
  const everybody = context.suspects.length === 0 || context.profile === 'full';
  if (!everybody && others.length > 0) {
    const detail = 'no suspects: only suspects in this profile';
    context.gap({ reason: 'skipped', name: `upper directories of ${others.length} containers`, detail });
  }
  const taken = new Set<string>();
  const uppers = new Set<string>();
  const targets: LayerTarget[] = [];
  for (const container of everybody ? [...suspects, ...others] : suspects) {
    const { id, engine, namespace, layer, driver } = container;
    if (layer === undefined) {
      // another engine may know the same container, with its folders
      if (all.some((other) => other.id === id && other.layer !== undefined)) continue;
      const detail = `its root is no overlay, or its engine does not say where (storage driver: ${driver ?? 'not told'})`;
      context.gap({ reason: 'unsupported', name: `upper directory of container ${id} (${engine})`, detail });
      continue;
    }
    if (uppers.has(layer.upper)) continue;
    uppers.add(layer.upper);
    const name = safeName(id, namespace, taken);
    targets.push({ container: { ...container, layer }, path: `30-container/layers/${name}.tar.zst` });
  }
  return targets;
}

/** An id that a bundle's path takes as it is, else with "_"; one id may stand in two namespaces of containerd. */
function safeName(id: string, namespace: string | undefined, taken: Set<string>): string {
  const safe = (text: string): string => text.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 150) || '_';
  const first = safe(id);
  const wide = namespace === undefined ? first : `${safe(namespace).slice(0, 30)}-${first}`;
  let name = taken.has(first) ? wide : first;
  for (let number = 2; taken.has(name); number++) name = `${wide}-${number}`;
  taken.add(name);
  return name;
}
