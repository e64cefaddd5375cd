// The Deployment's program: reads its configuration, and runs the controller until it is told to end.
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { boundMemory } from '../capture/memory.ts';
import { describeError, ImpoundError, LOG_LEVELS } from '../evidence/index.ts';
import { software } from '../evidence/software.ts';
import { kubernetes, readAccess } from '../kubernetes/index.ts';
import { createLog } from '../log.ts';
import { bucketOf } from './captures/stores.ts';
import { readConfig } from './config.ts';
import { startController } from './controller.ts';

const OPTIONS = {
  config: { type: 'string', default: '/etc/impound/controller.yaml' },
  kubeconfig: { type: 'string' },
  'log-level': { type: 'string', default: 'info' },
} as const;

const USAGE = `impound-controller: captures nodes as NodeCaptures ask for

  --config FILE      YAML (/etc/impound/controller.yaml)
  --kubeconfig FILE  instead of the pod's service account
  --log-level        error, warn, info or debug (info)
From the environment: POD_NAMESPACE, POD_NAME, NODE_NAME, POD_IP`;

async function main(): Promise<void> {
  // fifty nodes may be captured before its code has run often enough for V8 to compile it of itself; costs 12 MiB
  for (const flag of ['--always-sparkplug', '--no-lazy-feedback-allocation']) setFlagsFromString(flag);
  const { values } = readArguments();
  const level = LOG_LEVELS.find((known) => known === values['log-level']);
  if (level === undefined) throw usage(`--log-level is one of ${LOG_LEVELS.join(', ')}`);
  const log = createLog(level);
  const config = await readConfig(values.config, process.env);
  // with S3 the agents' bytes go past it, and what people read is a stream or two: to collect young objects often would
  // take a fifth of its time
  if (bucketOf(config.store) === undefined) boundMemory();
  const stopped = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stopped.abort());
  const api = kubernetes(await readAccess(values.kubeconfig));
  const { port, ended } = await startController({
    ...{ config, kubernetes: api, log, signal: stopped.signal },
    software: await software(),
  });
  log.info('listening', { port, pod: config.pod.name, node: config.pod.node, store: config.store.url });
  await ended;
  api.close();
}

function readArguments() {
  try {
    return parseArgs({ options: OPTIONS, strict: true });
  } catch (cause) {
    throw usage(describeError(cause));
  }
}

function usage(message: string): ImpoundError {
  return new ImpoundError('usage', `${message}\n\n${USAGE}`, { operation: 'read arguments' });
}

try {
  await main();
  process.exit(0); // idle threads and sockets are not waited for
} catch (error) {
  const isUsage = error instanceof ImpoundError && error.code === 'usage';
  process.stderr.write(`impound-controller: ${describeError(error)}\n`);
  process.exit(isUsage ? 64 : 2);
}
