// Progress of what reads a whole bundle: bytes, rate and time left, on a terminal only and only past a second.
import type { Environment } from '../command.ts';
import { formatBytes, formatSeconds } from './text.ts';

export interface ByteProgress {
  readonly advance: (bytes: number, total: number) => void;
  readonly end: () => void;
}

/** `doing`: "verifying". */
export function byteProgress(doing: string, { stderr, quiet, json }: Environment): ByteProgress {
  if (!stderr.isTTY || quiet || json) return { advance() {}, end() {} };
  const begun = performance.now();
  let read = 0;
  let drawn = 0;
  return {
    advance(bytes, total) {
      read += bytes;
      const now = performance.now();
      if (now - begun < 1000 || now - drawn < 200) return;
      drawn = now;
      const rate = (read / (now - begun)) * 1000;
      const left = formatSeconds(Math.max(0, total - read) / rate);
      stderr.write(
        `\r\x1b[K${doing} ${formatBytes(read)} of ${formatBytes(total)}, ${formatBytes(rate)}/s, ${left} left`,
      );
    },
    end() {
      if (drawn > 0) stderr.write('\r\x1b[K');
    },
  };
}
