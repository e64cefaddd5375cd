// CRI-O's and podman's containers with their overlay folders, from their storage on disk.
import type { Gap } from '../../evidence/index.ts';
import type { ContainerSources, KnownContainer, KnownContainers } from '../containers.ts';
import { paced } from '../host/tree.ts';
import { podOf } from './containerd-containers.ts';
import { type StoredContainer, storedContainers } from './cri-o-storage.ts';

export async function crioContainers({ host, signal }: ContainerSources): Promise<KnownContainers> {
  const gaps: Gap[] = [];
  const containers: KnownContainer[] = [];
  for await (const stored of paced(storedContainers(host, (gap) => gaps.push(gap)))) {
    containers.push(known(stored));
    if (signal.aborted) break;
  }
  return { containers, gaps };
}

function known({ id, engine, entry, metadata, annotations, pid, layer }: StoredContainer): KnownContainer {
  const [first] = Array.isArray(entry.names) ? entry.names : [];
  const name = annotations['io.kubernetes.container.name'] ?? first;
  const image = annotations['io.kubernetes.cri-o.ImageName'] ?? metadata['image-name'];
  const pod = podOf(annotations);
  return {
    id,
    engine,
    ...(typeof name === 'string' ? { name } : {}),
    ...(typeof image === 'string' ? { image } : {}),
    ...(pod === undefined ? {} : { pod }),
    running: pid !== undefined,
    ...(pid === undefined ? {} : { pid }),
    ...(layer === undefined ? {} : { layer }),
  };
}
