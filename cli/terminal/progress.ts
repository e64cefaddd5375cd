// Live progress of a capture: a line a collector on a terminal, a plain line at each end anywhere else.
import type { CaptureEvent, CollectorResult } from '../../capture/index.ts';
import { counted, formatBytes, formatSeconds, type Style, styled } from './text.ts';

const REDRAW_MILLISECONDS = 100;
export const MARKS: Readonly<Record<CollectorResult['outcome'], readonly [string, Style]>> = {
  complete: ['✔', 'green'],
  partial: ['◐', 'yellow'],
  absent: ['–', 'dim'],
  failed: ['✘', 'red'],
  timeout: ['✘', 'red'],
  aborted: ['✘', 'red'],
  skipped: ['–', 'dim'],
};

export interface CaptureProgress {
  observe(event: CaptureEvent): void;
  /** Draws the last state and stops the timer. */
  end(): void;
}

export function captureProgress(names: readonly string[], stream: NodeJS.WriteStream): CaptureProgress {
  return stream.isTTY ? liveProgress(names, stream) : plainProgress(stream);
}

function plainProgress(stream: NodeJS.WriteStream): CaptureProgress {
  return {
    observe(event) {
      if (event.kind === 'ended') stream.write(`${resultLine(event.result, stream)}\n`);
    },
    end() {},
  };
}

function liveProgress(names: readonly string[], stream: NodeJS.WriteStream): CaptureProgress {
  const lines = new Map(names.map((name) => [name, styled('dim', `· ${name}`, stream)]));
  const running = new Map<string, { since: number; bytes: number }>();
  let drawn = 0;
  const draw = (): void => {
    for (const [name, { since, bytes }] of running) {
      const seconds = formatSeconds((performance.now() - since) / 1000);
      lines.set(name, `${styled('cyan', '▸', stream)} ${columns(name, seconds, formatBytes(bytes))}`);
    }
    const width = stream.columns;
    const text = [...lines.values()].map((line) => clip(line, width)).join('\n');
    stream.write(`${drawn > 0 ? `\x1b[${drawn}A` : ''}\x1b[0J${text}\n`);
    drawn = lines.size;
  };
  const timer = setInterval(draw, REDRAW_MILLISECONDS);
  return {
    observe(event) {
      if (event.kind === 'started') running.set(event.collector, { since: performance.now(), bytes: 0 });
      const state = running.get(event.collector);
      if (event.kind === 'stored' && state !== undefined) state.bytes = event.bytes;
      if (event.kind === 'ended') {
        running.delete(event.collector);
        lines.set(event.collector, resultLine(event.result, stream));
      }
    },
    end() {
      clearInterval(timer);
      draw();
    },
  };
}

function resultLine(result: CollectorResult, stream: NodeJS.WriteStream): string {
  const [mark, style] = MARKS[result.outcome];
  const gaps = result.gaps.reduce((sum, group) => sum + group.count, 0);
  const artefacts = counted(result.artefacts, 'artefact');
  const ended = [
    ...(result.outcome === 'complete' ? [] : [result.outcome]),
    ...(gaps === 0 ? [] : [counted(gaps, 'gap')]),
  ];
  const figures = columns(result.collector, formatSeconds(result.seconds), formatBytes(result.bytes));
  const text = `${figures}  ${artefacts.padEnd(13)} ${ended.join(', ')}`;
  return `${styled(style, mark, stream)} ${text.trimEnd()}`;
}

function columns(name: string, seconds: string, bytes: string): string {
  return `${name.padEnd(12)} ${seconds.padStart(9)} ${bytes.padStart(10)}`;
}

/** Colours end where the line is cut; a line that wraps would spoil the redraw. */
export function clip(line: string, width: number): string {
  return line.length <= width + 20 ? line : `${line.slice(0, width)}\x1b[0m`;
}
