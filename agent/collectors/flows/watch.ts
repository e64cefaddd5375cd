// For how long flows and packets are watched: what the responder asked for, within what a collector may take.
import { gap } from '../../../capture/index.ts';
import type { NodeContext } from '../../context.ts';

/** Longer than this is no part of a capture: it would hold up all that is collected after it. */
export const MAX_WATCH_SECONDS = 3600;

/** Seconds, or undefined where watching is switched off; both that and a cut are declared. */
export function watchSeconds(context: NodeContext, name: string): number | undefined {
  const { watch } = context;
  if (!(watch > 0)) {
    context.gap(gap('skipped', name, 'watching was switched off (0 seconds)'));
    return undefined;
  }
  if (watch > MAX_WATCH_SECONDS) {
    const detail = `watched for ${MAX_WATCH_SECONDS} s, the longest a capture may, instead of ${watch} s`;
    context.gap(gap('truncated', name, detail));
  }
  return Math.min(watch, MAX_WATCH_SECONDS);
}
