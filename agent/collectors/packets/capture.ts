// One tcpdump in one network namespace for a number of seconds, and what its end means.
import { type GapReport, gap } from '../../../capture/index.ts';
import type { NodeContext } from '../../context.ts';
import type { Place, Running } from '../../programs/run.ts';
import { type PcapEnd, wholeRecords } from './whole-records.ts';

/** Of each packet: what libpcap takes at most, so that none is cut. */
const SNAPSHOT_BYTES = 262_144;
/** The kernel's buffer for packets that tcpdump has not yet read, in KiB; held in the kernel's memory meanwhile. */
const BUFFER_KIBIBYTES = 8192;
/** The kernel hands packets on in blocks, each at the latest 1 s after its first packet: until then they are waited for. */
const BLOCK_SECONDS = 1.2;
/** tcpdump may take this long to start and to end. */
const SLACK_SECONDS = 15;
const START_SECONDS = 10;

export interface Capture {
  readonly content: AsyncIterable<Uint8Array>;
  readonly truncated: () => string | undefined;
}

/**
 * Starts to listen on every interface of the namespace, not promiscuously: that would change the interface, and is
 * logged. Resolves once it listens; a gap where it does not. `content` must be read.
 */
export async function listen(
  context: NodeContext,
  name: string,
  place: Place,
  seconds: number,
  bytes: number,
): Promise<Capture | GapReport> {
  const listening = ['-i', 'any', '-p', '-n', '-U', '-s', `${SNAPSHOT_BYTES}`, '-B', `${BUFFER_KIBIBYTES}`];
  // it parses nothing where it writes raw packets, and has no other user to become in a small image
  const running = await context.programs.start('tcpdump', [...listening, '-Z', 'root', '-w', '-'], {
    signal: context.signal,
    seconds: seconds + BLOCK_SECONDS + SLACK_SECONDS,
    bytes: Number.MAX_SAFE_INTEGER,
    netns: place,
  });
  const chunks = running.stdout[Symbol.asyncIterator]();
  const giveUp = setTimeout(() => running.stop(), START_SECONDS * 1000);
  const first = await chunks.next(); // the file's header: it listens
  clearTimeout(giveUp);
  if (first.done === true) {
    const ending = await running.ended;
    const reason = ending.kind === 'missing' ? 'unsupported' : ending.kind === 'done' ? 'failed' : ending.kind;
    return gap(reason, name, ending.why);
  }
  let truncated: string | undefined;
  const cut = (why: string): void => {
    truncated = why;
    context.gap(gap('truncated', name, why));
  };
  return {
    content: content(running, prepended(first.value, chunks), { seconds, bytes, cut, context, name }),
    truncated: () => truncated,
  };
}

interface Bounds {
  readonly seconds: number;
  readonly bytes: number;
  readonly cut: (why: string) => void;
  readonly context: NodeContext;
  readonly name: string;
}

async function* content(
  running: Running,
  chunks: AsyncGenerator<Uint8Array>,
  { seconds, bytes, cut, context, name }: Bounds,
): AsyncGenerator<Uint8Array> {
  const end: PcapEnd = { kind: 'ended', records: 0, cut: 0 };
  const begun = performance.now();
  const timer = setTimeout(() => running.stop(), (seconds + BLOCK_SECONDS) * 1000);
  try {
    yield* wholeRecords(chunks, bytes, end);
  } finally {
    clearTimeout(timer);
    await chunks.return(undefined); // ends tcpdump where it was not read to its end
  }
  const ending = await running.ended;
  const took = Math.round((performance.now() - begun) / 1000);
  if (end.kind === 'full') cut(`limit of ${bytes} bytes: it ended after ${took} of ${seconds} s`);
  else if (end.kind === 'malformed') cut('tcpdump wrote what is no pcap record; all before it is kept');
  else if (ending.kind !== 'done') cut(ending.why);
  else if (end.cut > 0) cut('the last packet was not written whole, and is left out');
  const dropped = Number(/(\d+) packets? dropped by kernel/.exec(ending.why)?.[1] ?? 0);
  if (dropped > 0) {
    const detail = 'packets came faster than they could be stored, and were dropped by the kernel';
    context.gap(gap('truncated', `${name}: ${dropped} packets`, detail));
  }
}

async function* prepended(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield first;
    for (let step = await rest.next(); step.done !== true; step = await rest.next()) yield step.value;
  } finally {
    await rest.return?.();
  }
}
