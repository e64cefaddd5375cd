// Tracked connections of one namespace: from /proc where it shows them, else by netlink.
import { closeSync } from 'node:fs';
import { gap } from '../../../capture/index.ts';
import { chunksOf, unreadable } from '../../host/kernel-file.ts';
import { type Door, isUnreadable } from '../sockets/door.ts';
import { allowed } from './allowed.ts';
import { conntrackTable } from './conntrack.ts';
import type { ModuleState } from './modules.ts';
import { type Asking, ask, lineParser, type Parser } from './query.ts';

/** Tracked connections of one namespace that become rows; nf_conntrack_max is mostly 262,144 or less. */
const MAX_CONNECTIONS = 262_144;
/** Bytes of /proc/net/nf_conntrack that are read. */
const CONNTRACK_BYTES = 128 * 1024 * 1024;

/** The file of /proc where this kernel has it; its raw bytes are in netns.tar.zst. Else netlink. */
export async function askConntrack(
  asking: Asking,
  door: Door | undefined,
  module: (name: string) => ModuleState,
): Promise<void> {
  const { output, inode, rows } = asking;
  let left = 0;
  const parser = lineParser((bad) =>
    conntrackTable(MAX_CONNECTIONS, rows.emit, bad, () => {
      left++;
    }),
  );
  const opened = door?.open('nf_conntrack');
  if (opened !== undefined && !isUnreadable(opened)) {
    await readConntrack(asking, opened.fd, parser);
  } else if (module('nf_conntrack') === 'absent') {
    const detail = 'the kernel has no nf_conntrack loaded, and so tracks nothing';
    output.gap(gap('absent', `netns ${inode}: tracked connections`, detail));
    return;
  } else if (module('nf_conntrack_netlink') === 'absent') {
    const detail =
      'neither /proc/net/nf_conntrack nor nf_conntrack_netlink is there: conntrack was not run, it would load the module';
    output.gap(gap('skipped', `netns ${inode}: tracked connections`, detail));
    return;
  } else {
    allowed(asking, module, 'nf_conntrack_netlink', 'conntrack', 'tracked connections');
    const args = ['-L', '-o', 'extended,id'];
    await ask(asking, { file: 'conntrack.txt', program: 'conntrack', args, parser });
  }
  if (left > 0) {
    const detail = `more than ${MAX_CONNECTIONS} tracked connections: the raw table has all`;
    output.gap(gap('truncated', `netns ${inode}: ${left} tracked connections left`, detail));
  }
}

async function readConntrack({ output, inode, rows, context }: Asking, fd: number, parser: Parser): Promise<void> {
  const name = `netns ${inode}: nf_conntrack`;
  try {
    const reading = chunksOf(fd, CONNTRACK_BYTES);
    let step = reading.next();
    for (; step.done !== true; step = reading.next()) {
      context.signal.throwIfAborted();
      parser.push(step.value);
      await rows.flush();
      await new Promise(setImmediate);
    }
    if (step.value.more) output.gap(gap('truncated', name, `limit of ${CONNTRACK_BYTES} bytes; the rest was not read`));
  } catch (error) {
    if (context.signal.aborted) throw error;
    const { reason, detail } = unreadable(error);
    output.gap(gap(reason, name, detail));
  } finally {
    closeSync(fd);
  }
  const unread = parser.end();
  await rows.flush();
  if (unread !== undefined) output.gap(gap('failed', name, unread));
}
