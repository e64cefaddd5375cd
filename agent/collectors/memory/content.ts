// The bytes of one core, and what has to be said of them once they have been read.
import { type GapReport, gap } from '../../../capture/index.ts';
import { VANISHED } from '../../host/errno.ts';
import { coreHead } from './core.ts';
import type { Cut, ProcessMemory } from './reader.ts';
import type { Unreadable } from './shared.ts';

/** Ranges that are named one by one in the process' row. */
const MAX_RANGES = 256;

export interface CoreResult {
  /** Bytes of the core. */
  readonly size: number;
  /** Bytes of memory in the core. */
  readonly stored: number;
  readonly unreadable: {
    readonly bytes: number;
    readonly ranges: readonly Unreadable[];
  };
  readonly gaps: readonly GapReport[];
  /** Why the core ends before its end. */
  readonly truncated?: string;
}

/** Bytes. */
interface Seen {
  head: number;
  stored: number;
  refused: number;
  stuck: number;
}

/** `done` is called once, however the reading ends: by its consumer, too. */
export async function* coreContent(
  pid: number,
  memory: ProcessMemory,
  machine: number,
  done: (result: CoreResult) => void,
): AsyncGenerator<Uint8Array> {
  const seen: Seen = { head: 0, stored: 0, refused: 0, stuck: 0 };
  const ranges: Unreadable[] = [];
  let cut: Cut | 'unread' | undefined = 'unread';
  try {
    for (const bytes of coreHead(pid, memory.layout, machine)) {
      seen.head += bytes.length;
      yield bytes;
    }
    const pieces = memory.pieces();
    let step = await pieces.next();
    try {
      for (; step.done !== true; step = await pieces.next()) {
        const { bytes, unreadable } = step.value;
        for (const range of unreadable) {
          seen[range.why] += range.bytes;
          append(ranges, range);
        }
        seen.stored += bytes.length;
        yield bytes;
      }
      cut = step.value;
    } finally {
      memory.end();
    }
  } finally {
    done(resultOf(pid, memory, seen, ranges, cut));
  }
}

function append(ranges: Unreadable[], range: Unreadable): void {
  const last = ranges.at(-1);
  if (last !== undefined && last.why === range.why && last.start + BigInt(last.bytes) === range.start) {
    ranges[ranges.length - 1] = { ...last, bytes: last.bytes + range.bytes };
  } else if (ranges.length < MAX_RANGES) {
    ranges.push(range);
  }
}

function resultOf(
  pid: number,
  { layout }: ProcessMemory,
  { head, stored, refused, stuck }: Readonly<Seen>,
  ranges: readonly Unreadable[],
  cut: Cut | 'unread' | undefined,
): CoreResult {
  const name = `pid ${pid} memory`;
  const gaps: GapReport[] = [];
  const zeros = (bytes: number, reason: 'failed' | 'timeout', detail: string): void => {
    if (bytes > 0) gaps.push(gap(reason, `${name}: ${bytes} bytes from ${hex(ranges[0]?.start)}`, detail));
  };
  zeros(
    refused,
    'failed',
    'pages the kernel would not read, or that were unmapped meanwhile; zeros stand in their place',
  );
  zeros(stuck, 'timeout', 'reading these pages did not come back; zeros stand in their place');
  const left = layout.counts.stored - stored;
  const why = cutReason(cut, left);
  if (why !== undefined && cut !== 'unread') {
    const reason = cut === 'gone' ? 'vanished' : cut === 'stuck' ? 'timeout' : 'failed';
    gaps.push(gap(reason, `${name}: ${left} bytes left`, why));
  }
  return {
    size: head + stored,
    stored,
    unreadable: { bytes: refused + stuck, ranges },
    gaps,
    ...(why === undefined ? {} : { truncated: `${why}: ${left} bytes left` }),
  };
}

function cutReason(cut: Cut | 'unread' | undefined, left: number): string | undefined {
  if (cut === undefined || (cut === 'unread' && left === 0)) return undefined;
  if (cut === 'unread') return 'its reading was stopped';
  if (cut === 'gone') return VANISHED;
  return cut === 'stuck' ? 'reading its memory did not come back, again and again' : cut.failed;
}

function hex(address: bigint | undefined): string {
  return `0x${(address ?? 0n).toString(16)}`;
}
