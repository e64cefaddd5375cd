// What CRI-O and podman keep of containers on disk: their lists and each container's specification and state.
import type { Member } from '../../../evidence/index.ts';
import type { NodeContext } from '../../context.ts';
import { paced, walkTree } from '../../host/tree.ts';
import { type MemberOptions, memberOf } from '../../host/tree-archive.ts';
import { RUN_STORAGE, STORAGE, type StoredContainer, storedContainers } from '../../runtime/cri-o-storage.ts';
import { at } from '../../runtime/json.ts';
import { orchestrator, podOfLabels } from './kubernetes.ts';
import { processesIn, processFields } from './processes.ts';
import type { Session } from './session.ts';

/** Lists of containers, layers and images, and each container's folder: no layer's files. */
const FOLDERS = [
  `${STORAGE}/overlay-containers`,
  `${STORAGE}/overlay-layers`,
  `${STORAGE}/overlay-images`,
  `${RUN_STORAGE}/overlay-containers`,
];
const MAX_ITEMS = 100_000;
const MAX_FILE_BYTES = 16 * 1024 * 1024;
const MAX_ARCHIVE_BYTES = 256 * 1024 * 1024;
/** Lists of every file of a layer, which the layers themselves show. */
const NOT_KEPT = /\.tar-split\.gz$/;

export async function* storedRows(session: Session): AsyncGenerator<Record<string, unknown>> {
  const { context, signal } = session;
  const processes = await session.processes;
  for await (const stored of paced(storedContainers(context.host, (gap) => context.gap(gap)))) {
    if (signal.aborted) return;
    yield storedRow(stored, processes);
  }
}

/** The files themselves, as they stand. */
export async function* storageMembers(session: Session): AsyncGenerator<Member> {
  const { context, signal } = session;
  const budget = { left: MAX_ARCHIVE_BYTES };
  for (const folder of FOLDERS) {
    const label = folder;
    const gap: NodeContext['gap'] = (found) => {
      // what a folder is not there for is said by the others
      if (found.reason !== 'absent') context.gap(found);
    };
    const items = walkTree(context.host.root, folder, { label, gap, signal, items: MAX_ITEMS, oneFileSystem: true });
    const options: MemberOptions = { prefix: `${folder.slice(1)}/`, label, gap, fileBytes: MAX_FILE_BYTES, budget };
    for await (const item of paced(items)) {
      if (NOT_KEPT.test(item.path.toString('latin1'))) continue;
      const member = memberOf(item, options);
      if (member !== undefined) yield member;
    }
  }
}

function storedRow(
  { id, engine, entry, metadata, config, state, annotations, pid, layer }: StoredContainer,
  processes: Parameters<typeof processesIn>[2],
): Record<string, unknown> {
  const process = pid === undefined ? undefined : processes.get(pid);
  const image = annotations['io.kubernetes.cri-o.ImageName'] ?? metadata['image-name'];
  return {
    container: {
      id,
      name: annotations['io.kubernetes.container.name'] ?? at(entry, 'names', '0'),
      runtime: engine,
      image: { name: image, hash: { all: typeof entry.image === 'string' ? [entry.image] : [] } },
    },
    ...orchestrator(podOfLabels(annotations)),
    storage: {
      created: entry.created,
      sandbox: annotations['io.kubernetes.cri-o.SandboxID'] ?? metadata['pod-id'],
      containerType: annotations['io.kubernetes.cri-o.ContainerType'],
      logPath: annotations['io.kubernetes.cri-o.LogPath'],
      pid: at(state, 'pid'),
      exitCode: at(state, 'exitCode'),
      started: at(state, 'started'),
      finished: at(state, 'finished'),
      args: at(config, 'process', 'args'),
      env: at(config, 'process', 'env'),
      layer,
      metadata,
      state,
      spec: config,
    },
    impound: {
      process: process === undefined ? undefined : processFields(process),
      processes: processesIn(id, pid === undefined ? [] : [pid], processes),
    },
  };
}
