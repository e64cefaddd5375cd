// A program of its own that thaws a container whatever becomes of the capture: it does so when its standard input ends,
// which it does when the capture is killed, and at the deadline. Arguments: state file, text that thaws, seconds.
import { constants, openSync, writeFileSync, writeSync } from 'node:fs';
import { argv, exit, stdin, stdout } from 'node:process';

const [file = '', text = '', seconds = '0'] = argv.slice(2);

// a terminal's interrupt and an orderly stop concern the capture; its end is what counts here
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
try {
  writeFileSync('/proc/self/oom_score_adj', '-1000');
} catch {
  // without CAP_SYS_RESOURCE it may be killed where memory runs out, as the capture may
}
const fd = openSync(file, constants.O_WRONLY | constants.O_NOFOLLOW);

function thaw(): void {
  try {
    writeSync(fd, text);
  } catch {
    // ENODEV: the container has been removed
  }
  exit(0);
}

setTimeout(thaw, Number(seconds) * 1000);
stdin.on('data', (said: Buffer) => {
  if (said.includes('done')) exit(0);
});
stdin.on('end', thaw);
stdin.on('error', thaw);
stdout.on('error', () => undefined);
stdout.write('ready\n');
