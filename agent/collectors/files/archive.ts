// Found files as an archive and as rows of a table beside it, one row for each member.

import type { CollectContext } from '../../../capture/index.ts';
import { Channel, describeError, type MemberRecord, tarArchive, textField } from '../../../evidence/index.ts';
import { fileFields } from '../../host/file-fields.ts';
import type { Pinned, Root } from '../../host/pin.ts';
import type { Found } from './find.ts';
import { membersOf } from './member.ts';

export type Row = Record<string, unknown>;

/** The table of one or more archives: ends when the last of them has. */
export class Table {
  readonly rows = new Channel<Row>(64);
  #archives: number;
  #failure: Error | undefined;

  constructor(archives: number) {
    this.#archives = archives;
  }

  /** Called once for each archive, however it ended. */
  archiveEnded(failure?: unknown): void {
    if (failure !== undefined) this.#failure ??= new Error(describeError(failure));
    if (--this.#archives === 0) this.rows.end(this.#failure);
  }
}

export interface ArchiveOptions {
  readonly context: CollectContext;
  readonly root: Root;
  readonly found: Iterable<Found>;
  /** Bytes of content in this archive. */
  readonly bytes: number;
  readonly table: Table;
  /** Its bundle path, as the rows name it. */
  readonly archive: string;
}

export async function* archiveOf(options: ArchiveOptions): AsyncGenerator<Uint8Array> {
  const { table } = options;
  let failure: unknown;
  try {
    yield* tarArchive(members(options));
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    table.archiveEnded(failure);
  }
}

async function* members({ context, root, found, bytes, table, archive }: ArchiveOptions) {
  const budget = { left: bytes };
  const recorded = (record: MemberRecord, item: Found, now: Pinned): Promise<unknown> =>
    table.rows.push(rowOf(record, item, now, archive));
  for (const item of found) {
    if (context.signal.aborted) return;
    yield* membersOf(item, { root, gap: context.gap, budget, recorded });
  }
}

function rowOf(
  record: MemberRecord,
  { group, path }: Found,
  { kind, stats, linkTarget }: Pinned,
  archive: string,
): Row {
  return {
    file: {
      ...textField('path', Buffer.concat([Buffer.from('/'), path])),
      type: kind === 'directory' ? 'dir' : kind,
      ...fileFields(stats),
      device: String(stats.dev),
      ...(linkTarget === undefined ? {} : textField('target_path', linkTarget)),
      // of what was left out the digest of the rest would mislead
      hash: record.sha256 === undefined || record.truncated !== undefined ? undefined : { sha256: record.sha256 },
    },
    impound: { what: group.what, archive, member: record.path, truncated: record.truncated },
  };
}
