// How the controller is reached: at an address that was given, or by port-forward to one of its pods.
import { readFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type SecureContextOptions } from 'node:tls';
import { describeError, ImpoundError } from '../../evidence/index.ts';
import { type KubernetesObject, portForwarder } from '../../kubernetes/index.ts';
import type { ControllerArguments } from '../commands/cluster-options.ts';
import { usage } from '../usage.ts';
import type { Connection } from './connect.ts';
import { controllerPods, controllerVerdict, isReady, type PodObject } from './diagnosis.ts';
import { advice, lacking } from './rights.ts';
import { describeRights, type Right, TO_THE_CONTROLLER } from './roles.ts';

const PORT = 8443;
/** Of one person the controller serves 16 at once. */
const MAX_SOCKETS = 8;
const CA = 'impound-ca';
/** The least of those that have a way. */
const ROLE = 'impound-analyst';

export interface Target {
  /** Origin of the requests. */
  readonly url: string;
  readonly agent: Agent;
  /** The replica that a 421 names. Throws `controller-unreachable` where there is no way to it. */
  leader(url: string): Promise<Target>;
}

/** Throws `controller-unreachable`; `api-denied` where one has no way there, with a role that has. */
export async function controllerTarget(connection: Connection, argv: ControllerArguments): Promise<Target> {
  await assertWay(connection, argv);
  const tls = { ca: await authority(connection, argv), servername: `impound-controller.${argv.namespace}.svc` };
  if (argv.controller !== undefined) return direct(argv.controller, tls);
  const pods = await controllerPods(connection);
  const ready = pods.find(isReady);
  if (ready !== undefined) return forwarded(connection, ready, tls);
  const { text } = await controllerVerdict(connection);
  const message = `no pod of the controller is ready in namespace ${argv.namespace}: ${text}; or give --controller https://HOST:PORT`;
  throw new ImpoundError('controller-unreachable', message, { operation: 'find controller' });
}

interface Tls extends SecureContextOptions {
  readonly ca: string;
  readonly servername: string;
}

function direct(address: string, tls: Tls): Target {
  if (!URL.canParse(address) || new URL(address).protocol !== 'https:')
    throw usage(`--controller ${address}: give https://HOST:PORT`);
  const agent = new Agent({ ...tls, keepAlive: true, maxSockets: MAX_SOCKETS });
  return { url: new URL(address).origin, agent, leader: async (url) => direct(url, tls) };
}

async function forwarded(connection: Connection, pod: PodObject, tls: Tls): Promise<Target> {
  const forward = await portForwarder(connection.choice);
  const { namespace } = connection;
  let { name } = pod.metadata;
  /** Its replica may go while it is read from: another has the same to give. */
  const another = async (failed: string): Promise<void> => {
    if (failed !== name) return;
    const ready = (await controllerPods(connection)).filter(isReady).map(({ metadata }) => metadata.name);
    name = ready.find((one) => one > failed) ?? ready[0] ?? failed;
  };
  const open = async (): Promise<Forwarded> => {
    const chosen = name;
    const failed = () => another(chosen).catch(() => undefined); // the next try says what is wrong
    try {
      return { socket: await forward({ namespace, pod: chosen, port: PORT }), failed };
    } catch (error) {
      await failed();
      throw error;
    }
  };
  return {
    url: `https://${tls.servername}`,
    agent: new ForwardAgent(tls, open),
    async leader(url) {
      const { hostname } = new URL(url);
      const address = hostname.replace(/^\[|\]$/g, '');
      const leading = (await controllerPods(connection)).find(({ status }) => status?.podIP === address);
      if (leading !== undefined) return forwarded(connection, leading, tls);
      const message = `pod ${name} says that ${url} leads, and no pod of the controller has this address: try again`;
      throw new ImpoundError('controller-unreachable', message, { operation: 'find controller' });
    },
  };
}

interface Forwarded {
  readonly socket: Duplex;
  /** Nobody answered there: the next connection goes elsewhere. */
  readonly failed: () => Promise<void>;
}

/** TLS to the controller inside of what the API server forwards. */
class ForwardAgent extends Agent {
  readonly #tls: Tls;
  readonly #open: () => Promise<Forwarded>;

  constructor(tls: Tls, open: () => Promise<Forwarded>) {
    super({ keepAlive: true, maxSockets: MAX_SOCKETS });
    this.#tls = tls;
    this.#open = open;
  }

  override createConnection(
    _options: unknown,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    this.#open().then(
      ({ socket, failed }) => {
        if (socket.errored) {
          void failed();
          callback?.(socket.errored, socket);
          return;
        }
        const secured = connectTls({ ...this.#tls, socket });
        let isSecured = false;
        secured.once('secureConnect', () => {
          isSecured = true;
        });
        secured.once('close', () => {
          if (!isSecured) void failed();
        });
        socket.on('error', (error) => secured.destroy(error));
        callback?.(null, secured);
      },
      (error: Error) => callback?.(error, undefined as unknown as Duplex),
    );
    return undefined;
  }
}

async function assertWay(connection: Connection, argv: ControllerArguments): Promise<void> {
  const missing = await lacking(connection, wayTo(argv));
  // an older API server wants no "create" for what this client sends
  if (missing.every(({ verb }) => verb === 'create')) return;
  const { user, namespace } = connection;
  const message = `you are ${user}, and have no way to the controller: you may not ${describeRights(missing, namespace)}. ${advice(ROLE, user, namespace)}; or give --controller https://HOST:PORT and --controller-ca FILE`;
  throw new ImpoundError('api-denied', message, { operation: 'find controller' });
}

/** What one must be allowed for what was not given. */
export function wayTo({ controller, controllerCa }: ControllerArguments): readonly Right[] {
  return TO_THE_CONTROLLER.filter(({ resource }) =>
    resource === 'configmaps' ? controllerCa === undefined : controller === undefined,
  );
}

async function authority(
  { kubernetes }: Connection,
  { controllerCa, namespace }: ControllerArguments,
): Promise<string> {
  if (controllerCa !== undefined) {
    try {
      return await readFile(controllerCa, 'utf8');
    } catch (cause) {
      throw usage(`--controller-ca ${controllerCa} cannot be read: ${describeError(cause)}`, { cause });
    }
  }
  interface ConfigMap extends KubernetesObject {
    readonly data?: { readonly 'ca.crt'?: string };
  }
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps/${CA}`;
  const why = `the controller's authority (ConfigMap ${CA} in namespace ${namespace})`;
  try {
    const text = (await kubernetes.get<ConfigMap>(path)).data?.['ca.crt'];
    if (text !== undefined) return text;
  } catch (error) {
    if (!(error instanceof ImpoundError)) throw error;
    throw new ImpoundError(error.code, `${why} cannot be read: give --controller-ca FILE (${error.message})`, {
      operation: 'find controller',
      cause: error,
    });
  }
  throw new ImpoundError('certificate-unreadable', `${why} has no ca.crt: give --controller-ca FILE`, {
    operation: 'find controller',
  });
}
