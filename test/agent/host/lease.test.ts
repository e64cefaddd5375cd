// A file whose holder keeps readers out for a while: see F_SETLEASE in fcntl(2).
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gapOf } from '../../../agent/host/errno.ts';
import { openBelow } from '../../../agent/host/open.ts';
import { needs } from '../../helpers/component.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

const HOLD = `
import fcntl, signal, sys, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
held = open(sys.argv[1], "r+")
fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
time.sleep(60)
`;

test('a file under a write lease blocks nobody: its gap says when it can be read', async (t) => {
  if (!needs(t, 'python3')) return;
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'leased'), 'x');
  const holder = spawn('python3', ['-c', HOLD, join(folder, 'leased')], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  let gap: ReturnType<typeof gapOf> | undefined;
  try {
    openBelow(folder, 'leased');
  } catch (error) {
    gap = gapOf(error, 'leased');
  }
  assert.equal(gap?.reason, 'failed');
  assert.match(gap?.detail ?? '', /lease-break-time/);
});
