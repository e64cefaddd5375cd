// Rows of the CRI's tables: ECS names where ECS has one, the runtime's own words below `cri`.
import type { Host } from '../../host/host.ts';
import type { ProcessSummary } from '../../host/walk.ts';
import type { CriMessage } from '../../runtime/cri.ts';
import { at, textAt } from '../../runtime/json.ts';
import { orchestrator, podOfLabels } from './kubernetes.ts';
import { networkNamespace, processesIn, processFields } from './processes.ts';
import { given, isoTime, measured, number, pidAt, verbose } from './values.ts';

export interface RowContext {
  readonly socket: string;
  readonly host: Host;
  readonly processes: ReadonlyMap<number, ProcessSummary>;
}

/** Answered: by its status; listed: its status could not be had, the list's fields stand. */
export function sandboxRow(
  listed: CriMessage<'PodSandbox'>,
  answer: CriMessage<'PodSandboxStatusResponse'> | undefined,
  { socket, host, processes }: RowContext,
): Record<string, unknown> {
  const status = answer?.status ?? undefined;
  const info = verbose(answer?.info ?? {});
  const { id, labels } = listed;
  const pid = pidAt(info, 'info', 'pid');
  const process = pid === undefined ? undefined : processes.get(pid);
  return {
    container: { id },
    ...orchestrator(listed.metadata ?? podOfLabels(labels)),
    cri: {
      state: status?.state ?? listed.state,
      attempt: listed.metadata?.attempt,
      created: isoTime(listed.created_at),
      runtimeHandler: given(listed.runtime_handler),
      ip: given(status?.network?.ip ?? ''),
      additionalIps: status?.network?.additional_ips.map(({ ip }) => ip),
      namespaces: namespacesOf(status?.linux?.namespaces?.options ?? undefined),
      labels,
      annotations: status?.annotations ?? listed.annotations,
      networkNamespace: networkNamespace(host, at(info, 'info', 'runtimeSpec'), process),
      pid,
      info,
    },
    impound: {
      socket,
      listing: status === undefined ? 'listed' : 'answered',
      process: process === undefined ? undefined : processFields(process),
      processes: processesIn(id, pid === undefined ? [] : [pid], processes),
    },
  };
}

export interface ImageNames {
  /** By what containers name an image with: its id, a digest, a tag. */
  readonly byReference: ReadonlyMap<string, CriMessage<'Image'>>;
}

export function containerRow(
  listed: CriMessage<'Container'>,
  answer: CriMessage<'ContainerStatusResponse'> | undefined,
  sandbox: CriMessage<'PodSandbox'> | undefined,
  images: ImageNames,
  { socket, host, processes }: RowContext,
): Record<string, unknown> {
  const status = answer?.status ?? undefined;
  const info = verbose(answer?.info ?? {});
  const pid = pidAt(info, 'info', 'pid');
  const process = pid === undefined ? undefined : processes.get(pid);
  const { id, labels } = listed;
  return {
    container: {
      id,
      name: listed.metadata?.name,
      image: imageFields(status?.image ?? listed.image, status?.image_ref || listed.image_ref, images),
      labels,
      security_context: { privileged: at(info, 'info', 'config', 'linux', 'security_context', 'privileged') },
    },
    ...orchestrator(sandbox?.metadata ?? podOfLabels(labels)),
    cri: {
      sandbox: listed.pod_sandbox_id,
      state: status?.state ?? listed.state,
      attempt: listed.metadata?.attempt,
      created: isoTime(listed.created_at),
      started: isoTime(status?.started_at ?? '0'),
      finished: isoTime(status?.finished_at ?? '0'),
      exitCode: status?.state === 'CONTAINER_EXITED' ? status.exit_code : undefined,
      reason: given(status?.reason ?? ''),
      message: given(status?.message ?? ''),
      imageRef: given(status?.image_ref ?? listed.image_ref),
      annotations: status?.annotations ?? listed.annotations,
      mounts: status?.mounts.map((mount) => ({
        hostPath: mount.host_path,
        containerPath: mount.container_path,
        readonly: mount.readonly,
        propagation: mount.propagation,
      })),
      logPath: given(status?.log_path ?? ''),
      networkNamespace: networkNamespace(host, at(info, 'info', 'runtimeSpec'), process),
      args: at(info, 'info', 'runtimeSpec', 'process', 'args'),
      env: at(info, 'info', 'runtimeSpec', 'process', 'env'),
      snapshotKey: textAt(info, 'info', 'snapshotKey'),
      snapshotter: textAt(info, 'info', 'snapshotter'),
      pid,
      info,
    },
    impound: {
      socket,
      listing: status === undefined ? 'listed' : 'answered',
      process: process === undefined ? undefined : processFields(process),
      processes: processesIn(id, pid === undefined ? [] : [pid], processes),
    },
  };
}

export function imageRow(
  listed: CriMessage<'Image'>,
  answer: CriMessage<'ImageStatusResponse'> | undefined,
  socket: string,
): Record<string, unknown> {
  return {
    container: {
      image: { name: listed.repo_tags[0], tag: listed.repo_tags, hash: { all: [listed.id, ...listed.repo_digests] } },
    },
    cri: {
      id: listed.id,
      repoTags: listed.repo_tags,
      repoDigests: listed.repo_digests,
      size: number(listed.size),
      user: listed.uid === null ? given(listed.username) : listed.uid.value,
      pinned: listed.pinned,
      info: verbose(answer?.info ?? {}),
    },
    impound: { socket },
  };
}

export function containerStatsRow(
  { attributes, ...usage }: CriMessage<'ContainerStats'>,
  socket: string,
): Record<string, unknown> {
  return {
    container: { id: attributes?.id, name: attributes?.metadata?.name },
    ...orchestrator(podOfLabels(attributes?.labels ?? {})),
    cri: { kind: 'container', ...(measured(usage) as Record<string, unknown>) },
    impound: { socket },
  };
}

export function sandboxStatsRow(
  { attributes, linux }: CriMessage<'PodSandboxStats'>,
  socket: string,
): Record<string, unknown> {
  return {
    container: { id: attributes?.id },
    ...orchestrator(attributes?.metadata ?? {}),
    cri: { kind: 'sandbox', ...(measured(linux ?? {}) as Record<string, unknown>) },
    impound: { socket },
  };
}

function imageFields(
  spec: CriMessage<'ImageSpec'> | null,
  reference: string,
  { byReference }: ImageNames,
): Record<string, unknown> {
  const image = byReference.get(reference) ?? byReference.get(spec?.image ?? '');
  const digests = image === undefined ? [reference] : [image.id, ...image.repo_digests];
  return {
    name: given(spec?.user_specified_image ?? '') ?? image?.repo_tags[0] ?? given(spec?.image ?? ''),
    tag: image?.repo_tags,
    hash: { all: digests.filter((digest) => digest !== '') },
  };
}

function namespacesOf(options: CriMessage<'NamespaceOption'> | undefined): Record<string, unknown> | undefined {
  if (options === undefined) return undefined;
  const { network, pid, ipc, target_id: target } = options;
  return { network, pid, ipc, target: given(target) };
}
