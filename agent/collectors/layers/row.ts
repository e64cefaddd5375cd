// The row of one item of an upper directory in drift.jsonl: ECS names where ECS has one, the rest below `impound`.
import type { BigIntStats } from 'node:fs';
import { textField } from '../../../evidence/index.ts';
import type { KnownContainer } from '../../containers.ts';
import { fileFields, fileTime } from '../../host/file-fields.ts';
import type { TreeItem } from '../../host/tree.ts';
import { capabilityNames } from '../processes/capabilities.ts';
import type { Marks } from './overlay.ts';
import type { Executed } from './processes.ts';
import type { Xattrs } from './xattrs.ts';

/** `unknown` where the lower layers could not be looked at, and at or below what was renamed: see `redirect`. */
type Change = 'added' | 'changed' | 'deleted' | 'opaque' | 'metadata' | 'unknown';

export interface DriftItem {
  readonly container: KnownContainer;
  readonly item: TreeItem;
  readonly marks: Marks;
  readonly xattrs: Xattrs | undefined;
  /** What the lower layers have there. */
  readonly lower: BigIntStats | 'unknown' | undefined;
  readonly executed: Executed | undefined;
  /** Name in the archive and digest of the content, where all of it is there. */
  readonly member?: string;
  readonly sha256?: string | undefined;
}

export function driftRow(drift: DriftItem): Record<string, unknown> {
  const { container, item, marks, xattrs, executed, member, sha256 } = drift;
  const { stats, kind, path, linkTarget } = item;
  const lower = drift.lower === 'unknown' ? undefined : drift.lower;
  const mode = Number(stats.mode);
  const special = (mode: number): number => (kind === 'file' ? mode & 0o6000 : 0);
  const { pod } = container;
  return {
    file: {
      ...textField('path', Buffer.concat([Buffer.from('/'), path])),
      type: marks.whiteout ? undefined : kind === 'directory' ? 'dir' : kind,
      ...(linkTarget === undefined ? {} : textField('target_path', linkTarget)),
      ...(marks.whiteout ? {} : described(stats)),
      ...(sha256 === undefined ? {} : { hash: { sha256 } }),
    },
    container: {
      id: container.id,
      name: container.name,
      runtime: container.engine,
      image: container.image === undefined ? undefined : { name: container.image },
    },
    ...(pod === undefined
      ? {}
      : { orchestrator: { namespace: pod.namespace, resource: { type: 'pod', name: pod.name, id: pod.uid } } }),
    impound: {
      change: changeOf(drift),
      member,
      executable: kind === 'file' && (mode & 0o111) !== 0 ? true : undefined,
      setuid: special(mode) & 0o4000 ? true : undefined,
      setgid: special(mode) & 0o2000 ? true : undefined,
      setIdChanged: lower !== undefined && special(mode) !== special(Number(lower.mode)) ? true : undefined,
      capabilities: fileCapabilities(xattrs?.get('security.capability')),
      opaque: marks.opaque ? true : undefined,
      metacopy: marks.metacopy ? true : undefined,
      redirect: marks.redirect,
      lower: lower === undefined ? undefined : described(lower),
      executed: executed === undefined || executed.pids.size === 0 ? undefined : true,
      pids: executed === undefined || executed.pids.size === 0 ? undefined : [...executed.pids],
      mappedBy: executed === undefined || executed.mappedBy.size === 0 ? undefined : [...executed.mappedBy],
    },
  };
}

function changeOf({ item, marks, lower }: DriftItem): Change {
  if (marks.whiteout) return 'deleted';
  if (lower === 'unknown') return 'unknown';
  if (lower === undefined) return 'added';
  if (item.kind !== 'directory') return marks.metacopy ? 'metadata' : 'changed';
  if (!lower.isDirectory()) return 'changed';
  return marks.opaque ? 'opaque' : 'metadata';
}

function described(stats: BigIntStats): Record<string, unknown> {
  return {
    ...fileFields(stats),
    accessed: fileTime(stats.atimeNs),
    created: stats.birthtimeNs === 0n ? undefined : fileTime(stats.birthtimeNs),
  };
}

/** struct vfs_ns_cap_data of linux/capability.h, little-endian: revision and flags, then 32-bit masks in pairs. */
export function fileCapabilities(value: Uint8Array | undefined): Record<string, unknown> | undefined {
  if (value === undefined) return undefined;
  const bytes = Buffer.from(value);
  const revision = bytes[3];
  const pairs = revision === 1 ? 1 : 2;
  if (revision === undefined || revision < 1 || revision > 3 || bytes.length < 4 + pairs * 8)
    return { raw: bytes.toString('base64') };
  const mask = (offset: number): string => {
    const high = pairs === 2 ? bytes.readUInt32LE(12 + offset) : 0;
    return ((BigInt(high) << 32n) | BigInt(bytes.readUInt32LE(4 + offset))).toString(16);
  };
  return {
    effective: ((bytes[0] ?? 0) & 1) === 1,
    permitted: capabilityNames(mask(0)),
    inheritable: capabilityNames(mask(4)),
    rootUid: revision === 3 && bytes.length >= 24 ? bytes.readUInt32LE(20) : undefined,
  };
}
