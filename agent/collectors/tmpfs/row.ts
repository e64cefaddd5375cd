// The row of one file in memory: where its processes see it, whose it is, and which mount it is on.

import { type MemberRecord, textField } from '../../../evidence/index.ts';
import { fileFields } from '../../host/file-fields.ts';
import type { TreeItem } from '../../host/tree.ts';
import type { Superblock, Way } from './superblocks.ts';

/** A kubelet's volumes stand under their pod's UID. */
const POD = /\/pods\/([0-9a-f-]{32,36})\/volumes\//;

export function tmpfsRow(record: MemberRecord, item: TreeItem, block: Superblock, way: Way): Record<string, unknown> {
  const { stats, kind, linkTarget } = item;
  const { container } = way.process ?? {};
  const below = item.path.length === 0 ? [] : [Buffer.from(way.path === '/' ? '' : '/'), item.path];
  return {
    file: {
      ...textField('path', Buffer.concat([Buffer.from(way.path, 'latin1'), ...below])),
      type: kind === 'directory' ? 'dir' : kind,
      ...fileFields(stats),
      ...(linkTarget === undefined ? {} : textField('target_path', linkTarget)),
      hash: record.sha256 === undefined || record.truncated !== undefined ? undefined : { sha256: record.sha256 },
    },
    ...(container?.containerId === undefined ? {} : { container: { id: container.containerId } }),
    impound: {
      what: block.type,
      mount: { point: Buffer.from(way.path, 'latin1').toString('utf8'), device: block.device, root: block.root },
      mntns: way.mntns,
      pid: way.process?.pid,
      podUid: container?.podUid ?? POD.exec(way.path)?.[1],
      member: record.path,
      truncated: record.truncated,
    },
  };
}
