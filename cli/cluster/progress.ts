// Live progress of a capture in the cluster, by its status: a line a collector on a terminal, a plain line at each end
// anywhere else.
import type { NodeCapture, NodeCaptureStatus } from '../../protocol/index.ts';
import { clip, MARKS } from '../terminal/progress.ts';
import { counted, escapeText, formatBytes, formatSeconds, styled } from '../terminal/text.ts';
import { isEnded } from './captures.ts';

const REDRAW_MILLISECONDS = 200;
/** Above and below the collectors. */
const OTHER_LINES = 4;

type Collector = NonNullable<NodeCaptureStatus['collectors']>[number];

export interface ClusterProgress {
  observe(capture: NodeCapture): void;
  /** A line of its own, above what is drawn. */
  say(text: string): void;
  /** Draws the last state and stops the timer. */
  end(): void;
  /** Stops at once: others have written below what is drawn. */
  leave(): void;
}

export function clusterProgress(stream: NodeJS.WriteStream): ClusterProgress {
  return stream.isTTY ? liveProgress(stream) : plainProgress(stream);
}

/** Of a log file or a pipe: what has ended, and each thing that is new to say. */
function plainProgress(stream: NodeJS.WriteStream): ClusterProgress {
  const said = new Set<string>();
  let last = '';
  const once = (line: string): void => {
    if (said.has(line)) return;
    said.add(line);
    stream.write(`${line}\n`);
  };
  return {
    observe(capture) {
      const { collectors = [] } = capture.status ?? {};
      for (const one of collectors) if (one.outcome !== undefined) once(collectorLine(one, true, stream));
      const line = stateText(capture);
      if (line !== last) stream.write(`${line}\n`);
      last = line;
    },
    say: (text) => void stream.write(`${text}\n`),
    end() {},
    leave() {},
  };
}

function liveProgress(stream: NodeJS.WriteStream): ClusterProgress {
  let shown: NodeCapture | undefined;
  let drawn = 0;
  let isOpen = true;
  const draw = (above = ''): void => {
    if (!isOpen) return;
    const lines = shown === undefined ? [] : linesOf(shown, stream);
    const text = lines.map((line) => `${clip(line, stream.columns)}\n`).join('');
    stream.write(`${drawn > 0 ? `\x1b[${drawn}A` : ''}\r\x1b[0J${above}${text}`);
    drawn = lines.length;
  };
  const timer = setInterval(() => draw(), REDRAW_MILLISECONDS);
  const leave = (): void => {
    clearInterval(timer);
    isOpen = false;
  };
  return {
    observe(capture) {
      shown = capture;
      draw();
    },
    say: (text) => draw(`${text}\n`),
    end() {
      draw();
      leave();
    },
    leave,
  };
}

function linesOf(capture: NodeCapture, stream: NodeJS.WriteStream): readonly string[] {
  const { collectors = [] } = capture.status ?? {};
  const ended = isEnded(capture);
  const room = Math.max(3, (stream.rows || 24) - OTHER_LINES);
  // a terminal that is too low shows what is not over first
  const [over, open] = [collectors.filter(isOver), collectors.filter((one) => !isOver(one))];
  const kept = new Set([...open, ...over.toReversed()].slice(0, room));
  const left = collectors.length - kept.size;
  return [
    headLine(capture, stream),
    ...collectors.filter((one) => kept.has(one)).map((one) => collectorLine(one, ended, stream)),
    ...(left > 0 ? [styled('dim', `  and ${left} more`, stream)] : []),
  ];
}

function isOver({ outcome }: Collector): boolean {
  return outcome !== undefined;
}

function headLine(capture: NodeCapture, stream: NodeJS.WriteStream): string {
  const { status = {}, metadata } = capture;
  const { artefacts = 0, bytes = 0, gaps = 0 } = status;
  const since = Date.parse(status.startedAt ?? metadata.creationTimestamp ?? '');
  const until = status.sealedAt === undefined ? Date.now() : Date.parse(status.sealedAt);
  const seconds = Math.max(0, (until - since) / 1000);
  const figures = [formatSeconds(seconds), counted(artefacts, 'artefact'), formatBytes(bytes), counted(gaps, 'gap')];
  const message = isEnded(capture) ? '' : `  ${styled('dim', escapeText(status.message ?? ''), stream)}`;
  return `${styled('bold', status.phase ?? 'Pending', stream)}  ${figures.join('  ')}${message}`;
}

/** What has stored nothing yet waits, or is at its first artefact: the chain does not tell which. */
function collectorLine(
  { name, outcome, artefacts, bytes, gaps, session }: Collector,
  isEnd: boolean,
  stream: NodeJS.WriteStream,
): string {
  const figures = `${name.padEnd(12)} ${formatBytes(bytes).padStart(10)}  ${counted(artefacts, 'artefact')}`;
  if (outcome === undefined && !isEnd)
    return artefacts === 0
      ? styled('dim', `· ${name}`, stream)
      : `${styled('cyan', '▸', stream)} ${figures}${again(session)}`;
  const [mark, style] = outcome === undefined ? (['✘', 'red'] as const) : MARKS[outcome];
  const words = [
    ...(outcome === 'complete' ? [] : [outcome ?? 'unfinished']),
    ...(gaps === 0 ? [] : [counted(gaps, 'gap')]),
  ];
  return `${styled(style, mark, stream)} ${`${figures.padEnd(38)} ${words.join(', ')}`.trimEnd()}${again(session)}`;
}

function again(session: number): string {
  return session > 1 ? ` (try ${session})` : '';
}

function stateText({ status = {}, metadata }: NodeCapture): string {
  const { phase = 'Pending', message = '' } = status;
  // what is said of the end stands in the summary
  return escapeText(`${metadata.name}: ${phase}${message === '' || phase === 'Sealed' ? '' : `: ${message}`}`);
}
