// Asks one program in one namespace: its output goes to the archive as it is and, on the way, through a parser.
import { gap } from '../../../capture/index.ts';
import type { NodeContext } from '../../context.ts';
import type { ProgramName } from '../../programs/list.ts';
import type { Ending } from '../../programs/run.ts';
import { type LineReader, lineSplitter } from '../sockets/lines.ts';
import { jsonItems } from './json-items.ts';
import { endingGap, type Output, pieces, type RowSink } from './output.ts';

/** Bytes of one answer. 100,000 rules are some 30 MB. */
const ANSWER_BYTES = 256 * 1024 * 1024;
const ANSWER_SECONDS = 30;

/** One namespace while it is asked. */
export interface Asking {
  readonly context: NodeContext;
  readonly output: Output;
  readonly rows: RowSink;
  readonly inode: number;
  /** A descriptor's path that leads into the namespace. */
  readonly path: string;
}

export interface Query {
  /** Name of the raw answer below the namespace's folder. */
  readonly file: string;
  readonly program: ProgramName;
  readonly args: readonly string[];
  readonly parser?: Parser;
}

/** Takes an answer as it comes; `end` returns how much of it could not be made rows, in a gap's words. */
export interface Parser {
  push(chunk: Uint8Array): void;
  end(): string | undefined;
}

/** Rejects when the signal aborts, and never for what the program does. */
export async function ask({ context, output, rows, inode, path }: Asking, query: Query): Promise<Ending> {
  const { signal } = context;
  const { file, program, args, parser } = query;
  const name = `netns ${inode}: ${file}`;
  signal.throwIfAborted();
  const running = await context.programs.start(program, args, {
    signal,
    seconds: ANSWER_SECONDS,
    bytes: ANSWER_BYTES,
    netns: { path, inode },
  });
  const raw = pieces(output, `${inode}/${file}`);
  for await (const chunk of running.stdout) {
    await raw.push(chunk);
    parser?.push(chunk);
    await rows.flush();
  }
  const ending = await running.ended;
  const unread = parser?.end();
  await rows.flush();
  await raw.end(ending.kind === 'done' || ending.kind === 'missing' ? undefined : ending.why);
  endingGap(output, name, program, ending);
  if (unread !== undefined && ending.kind === 'done') output.gap(gap('failed', name, unread));
  return ending;
}

export function itemParser(take: (item: Record<string, unknown>) => void): Parser {
  const items = jsonItems(take);
  return {
    push: (chunk) => items.push(chunk),
    end: () => unreadable(items.end()),
  };
}

/** `table` is given what to call for a line that it cannot read. */
export function lineParser(table: (bad: () => void) => LineReader): Parser {
  let bad = 0;
  const lines = lineSplitter(
    table(() => {
      bad++;
    }),
  );
  return {
    push: (chunk) => lines.push(chunk),
    end() {
      lines.end();
      return unreadable(bad);
    },
  };
}

function unreadable(count: number): string | undefined {
  return count === 0 ? undefined : `${count} entries could not be read as rows: the raw answer is in firewall.tar.zst`;
}
