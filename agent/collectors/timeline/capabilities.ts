// File capabilities by getcap(8), asked for executable files by name: its own walk would enter network and FUSE mounts.

import type { Gap } from '../../../evidence/index.ts';
import type { NodeContext } from '../../context.ts';

/** Bytes of arguments of one run: well below the 2 MiB that execve(2) usually takes. */
const ARGUMENT_BYTES = 512 * 1024;
const OUTPUT_BYTES = 4 * 1024 * 1024;
/** For all runs together. */
const SECONDS = 60;

interface Capable {
  /** As this process sees it. */
  readonly path: string;
  /** "cap_net_raw=ep", as cap_to_text(3) writes it. */
  readonly capabilities: string;
}

/** Files that have capabilities, in the order given; why some were not asked is a gap. */
export async function* fileCapabilities(context: NodeContext, paths: readonly string[]): AsyncGenerator<Capable> {
  const until = performance.now() + SECONDS * 1000;
  const gap = (reason: Gap['reason'], count: number, detail: string): void =>
    context.gap({ reason, name: `file capabilities of ${count} executable files`, detail });
  // getcap(8) writes names as they are, and cannot be given what is no text
  const askable = paths.filter((path) => !/[\0-\x1f\x7f\ufffd]/.test(path));
  if (askable.length < paths.length)
    gap('skipped', paths.length - askable.length, 'names with control characters, or that are no UTF-8');
  for (let start = 0; start < askable.length; ) {
    const end = batchEnd(askable, start);
    const batch = askable.slice(start, end);
    const seconds = (until - performance.now()) / 1000;
    if (seconds <= 0) return gap('truncated', askable.length - start, `getcap had ${SECONDS} s for all files`);
    const answer = await context.programs.run('getcap', ['-n', ...batch], {
      signal: context.signal,
      seconds,
      bytes: OUTPUT_BYTES,
    });
    if (answer.kind === 'missing') return gap('unsupported', askable.length, answer.why);
    yield* parse(answer.stdout.toString('utf8'), new Set(batch));
    if (answer.kind === 'aborted') return gap('aborted', askable.length - start, answer.why);
    if (answer.kind === 'timeout' || answer.kind === 'truncated') gap(answer.kind, batch.length, answer.why);
    else if (answer.kind !== 'done') gap('failed', batch.length, answer.why);
    start = end;
  }
}

function batchEnd(paths: readonly string[], start: number): number {
  let bytes = 0;
  let end = start;
  while (end < paths.length && bytes < ARGUMENT_BYTES) bytes += Buffer.byteLength(paths[end++] ?? '') + 9;
  return end;
}

/** "PATH CAPABILITIES", or "PATH = CAPABILITIES" before libcap 2.41; either part may have blanks. */
function* parse(text: string, asked: ReadonlySet<string>): Generator<Capable> {
  for (const line of text.split('\n')) {
    for (let blank = line.indexOf(' '); blank !== -1; blank = line.indexOf(' ', blank + 1)) {
      const path = line.slice(0, blank);
      const capabilities = line.slice(blank + 1).replace(/^= /, '');
      if (!asked.has(path) || !/^(?:cap_|=|\[)/i.test(capabilities)) continue;
      yield { path, capabilities };
      break;
    }
  }
}
