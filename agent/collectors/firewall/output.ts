// Where the answers of one namespace go: raw bytes in pieces to the archive, rows to the table, gaps once a cause.
import { type GapReport, gap } from '../../../capture/index.ts';
import { type Channel, jsonLine, type Member } from '../../../evidence/index.ts';
import type { Ending } from '../../programs/run.ts';
import { type Emit, firewallRow, type Where } from './rows.ts';

export interface Output {
  readonly rows: Channel<Buffer>;
  readonly raw: Channel<Member>;
  gap(found: GapReport): void;
  /** Programs that are missing: named once, not for each namespace. */
  readonly missing: Set<string>;
  /** Modules of which the footprint says already that they may have been loaded. */
  readonly noted: Set<string>;
}

/** Bytes of one member of the archive: what is longer goes on in NAME.2, NAME.3. */
const PIECE_BYTES = 4 * 1024 * 1024;

/** Rows of one namespace; they leave with `flush`, which waits for whoever stores them. */
export interface RowSink {
  readonly emit: Emit;
  flush(): Promise<void>;
}

export function rowSink(output: Output, where: Where): RowSink {
  let lines: Buffer[] = [];
  return {
    emit: (kind, ecs, facts) => void lines.push(jsonLine(firewallRow(where, kind, ecs, facts))),
    async flush() {
      if (lines.length === 0) return;
      const bytes = Buffer.concat(lines);
      lines = [];
      await output.rows.push(bytes);
    },
  };
}

export interface PieceSink {
  push(chunk: Uint8Array): Promise<void>;
  /** Nothing is stored of what gave no bytes and is whole. */
  end(truncated?: string): Promise<void>;
}

export function pieces(output: Output, name: string): PieceSink {
  let parts: Uint8Array[] = [];
  let size = 0;
  let number = 1;
  const ship = async (truncated?: string): Promise<void> => {
    const suffix = number === 1 ? '' : `.${number}`;
    await output.raw.push({
      name: `${name}${suffix}`,
      mtime: BigInt(Date.now()) * 1_000_000n,
      content: Buffer.concat(parts),
      ...(truncated === undefined ? {} : { truncated }),
    });
    number++;
    parts = [];
    size = 0;
  };
  return {
    async push(chunk) {
      if (size > 0 && size + chunk.length > PIECE_BYTES) await ship();
      parts.push(chunk);
      size += chunk.length;
    },
    async end(truncated) {
      if (size > 0 || truncated !== undefined) await ship(truncated);
    },
  };
}

/** The gap for an ending that was not the whole; what was asked for stands in the name, the cause in the detail. */
export function endingGap(output: Output, name: string, program: string, ending: Ending): void {
  if (ending.kind === 'done') return;
  if (ending.kind === 'missing') {
    if (output.missing.has(program)) return;
    output.missing.add(program);
    output.gap(gap('unsupported', program, ending.why));
    return;
  }
  output.gap(gap(ending.kind, name, ending.why));
}
