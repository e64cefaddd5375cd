// What the agent is started with: flags only, since a DaemonSet writes them once.
import { parseArgs } from 'node:util';
import { ImpoundError, LOG_LEVELS, type LogLevel } from '../evidence/index.ts';

const OPTIONS = {
  controller: { type: 'string' },
  ca: { type: 'string' },
  token: { type: 'string' },
  root: { type: 'string', default: '/' },
  docker: { type: 'string' },
  containerd: { type: 'string' },
  cri: { type: 'string' },
  'log-level': { type: 'string', default: 'info' },
} as const;

export const AGENT_USAGE = `impound-agent: collects on this node what the controller asks for

  --controller URL   of the controller's service, https://…
  --ca FILE          PEM of the authority of the controller's certificate
  --token FILE       the projected token, audience impound-controller
  --root DIR         the host's file system, with its /proc below (/)
  --docker SOCKET    instead of the places where they usually are
  --containerd SOCKET
  --cri SOCKET
  --log-level        error, warn, info or debug (info)`;

export interface AgentConfig {
  readonly controller: string;
  readonly ca: string;
  readonly token: string;
  readonly root: string;
  readonly docker: string | undefined;
  readonly containerd: string | undefined;
  readonly cri: string | undefined;
  readonly logLevel: LogLevel;
}

/** Throws `usage`. */
export function readAgentConfig(args: readonly string[]): AgentConfig {
  const { values } = parsed(args);
  const { controller, ca, token, root, docker, containerd, cri } = values;
  if (controller === undefined || ca === undefined || token === undefined)
    throw usage('--controller, --ca and --token are needed');
  if (!URL.canParse(controller) || new URL(controller).protocol !== 'https:')
    throw usage('--controller is an https:// URL');
  const logLevel = LOG_LEVELS.find((level) => level === values['log-level']);
  if (logLevel === undefined) throw usage(`--log-level is one of ${LOG_LEVELS.join(', ')}`);
  return { controller, ca, token, root, docker, containerd, cri, logLevel };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true });
  } catch (cause) {
    throw usage(cause instanceof Error ? cause.message : String(cause));
  }
}

function usage(message: string): ImpoundError {
  return new ImpoundError('usage', `${message}\n\n${AGENT_USAGE}`, { operation: 'read arguments' });
}
