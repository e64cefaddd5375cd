// The DaemonSet's program: asks the controller for work, and does it. It listens nowhere and keeps nothing.
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { boundMemory, saveMemory } from '../capture/memory.ts';
import { describeError, ImpoundError, type Logger } from '../evidence/index.ts';
import { software } from '../evidence/software.ts';
import { createLog } from '../log.ts';
import { type AgentConfig, readAgentConfig } from './config.ts';
import { hostAt } from './host/host.ts';
import { captureFor } from './remote/capture.ts';
import { openLink } from './remote/link.ts';
import { probeStore } from './remote/probe.ts';
import { listening } from './remote/runtimes.ts';
import { agentSettings } from './settings.ts';

const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 10_000;

async function main(config: AgentConfig, log: Logger): Promise<void> {
  const stopped = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stopped.abort());
  const { signal } = stopped;
  const name = await software();
  const host = hostAt(config.root);
  const settings = agentSettings(config, host);
  let probing: Promise<void> | undefined;
  const link = await openLink({
    ...{ url: config.controller, ca: config.ca, token: config.token, software: name, log, signal },
    // one at a time, and beside everything else: a capture does not wait for it
    probe(order) {
      probing ??= readFile(config.ca, 'utf8')
        .then((ca) => Promise.all([probeStore(order, ca, signal), listening(settings)]))
        .then(([result, runtimes]) => link.probed(order.id, { ...result, runtimes }))
        .catch((error: unknown) => log.warn('a probe was not reported', { error: describeError(error) }))
        .finally(() => {
          probing = undefined;
        });
    },
  });
  log.info('asking for work', { controller: config.controller, software: name });
  let pause = FIRST_PAUSE;
  while (!signal.aborted) {
    try {
      const order = await link.poll(signal);
      pause = FIRST_PAUSE;
      if (order === undefined) continue;
      const ca = await readFile(config.ca, 'utf8');
      const { leftBehind } = await captureFor({
        order,
        link,
        controller: config.controller,
        host,
        settings,
        ca,
        software: name,
        signal,
        log,
      });
      log.info('a capture has ended', { capture: order.name });
      if (signal.aborted && !leftBehind) continue;
      await probing;
      leave(signal.aborted, log);
    } catch (error) {
      if (signal.aborted) break;
      const code = error instanceof ImpoundError ? error.code : 'internal';
      log.warn('will ask again', { error: describeError(error), code, milliseconds: pause });
      await sleep(Math.random() * pause, undefined, { signal }).catch(() => undefined);
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    }
  }
  link.close();
}

/**
 * A thread may wait for good, and Node would wait for it: execve(2) ends them all, to do nothing, or to begin anew: what a
 * capture leaves behind of V8's and the allocator's memory would be missing from the next one's.
 */
function leave(forGood: boolean, log: Logger): void {
  log.info(forGood ? 'ends, whatever a read still waits for' : 'begins anew');
  const again = [...process.execArgv, ...process.argv.slice(1)];
  process.execve?.(process.execPath, [process.execPath, ...(forGood ? ['--eval', ''] : again)], process.env);
}

boundMemory();
saveMemory();

try {
  const config = readAgentConfig(process.argv.slice(2));
  await main(config, createLog(config.logLevel));
  process.exit(0); // idle threads are not waited for
} catch (error) {
  const usage = error instanceof ImpoundError && error.code === 'usage';
  process.stderr.write(`impound-agent: ${describeError(error)}\n`);
  process.exit(usage ? 64 : 2);
}
