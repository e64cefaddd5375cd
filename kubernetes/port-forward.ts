// A connection to a port of a pod through the API server (WebSocket, as `kubectl port-forward`), as a stream.
import { Duplex, Writable } from 'node:stream';
import { PortForward } from '@kubernetes/client-node';
import { describeError, ImpoundError, within } from '../evidence/index.ts';
import { type AccessChoice, readKubeconfig } from './kubeconfig.ts';

const CONNECT_MILLISECONDS = 15_000;
const MAX_REASON = 500;

export interface PodPort {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

/** Connects to one port of a pod; each call is a connection of its own. Throws `api-denied`, `api-unreachable`. */
export type Forwarder = (to: PodPort) => Promise<Duplex>;

/** What is used here of the socket that the library gives (package "ws"). */
interface Socket {
  pause(): void;
  resume(): void;
  terminate(): void;
  on(event: 'close' | 'error', listener: (about?: unknown) => void): void;
}

export async function portForwarder(choice: AccessChoice): Promise<Forwarder> {
  const { config } = await readKubeconfig(choice);
  const forward = new PortForward(config);
  return async (to) => {
    const { namespace, pod, port } = to;
    let socket: Socket | undefined;
    // what the person sends is small: requests; what comes is a bundle, and is held back where nobody reads it
    const stream: Duplex = new Duplex({
      read: () => socket?.resume(),
      write(chunk: Buffer, _encoding, done) {
        input.push(chunk);
        done();
      },
      final(done) {
        input.push(null);
        done();
      },
      destroy(error, done) {
        socket?.terminate();
        done(error);
      },
    });
    const input = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    const output = new Writable({
      write(chunk: Buffer, _encoding, done) {
        if (!stream.destroyed && !stream.push(chunk)) socket?.pause();
        done();
      },
    });
    // it may come with the very first bytes, before anybody listens: whoever takes the stream looks at `errored`
    stream.on('error', () => undefined);
    let said = '';
    const failed = new Writable({
      write(chunk: Buffer, _encoding, done) {
        said = `${said}${chunk}`.slice(0, MAX_REASON);
        if (said !== '') stream.destroy(unreachable(to, said));
        done();
      },
    });
    const opening = forward.portForward(namespace, pod, [port], output, failed, input) as unknown as Promise<Socket>;
    try {
      socket = await within(opening, CONNECT_MILLISECONDS, () => {
        opening.then((late) => late.terminate()).catch(() => undefined); // nobody waits for it any more
        throw new Error(`no answer in ${CONNECT_MILLISECONDS / 1000} s`);
      });
    } catch (error) {
      stream.destroy();
      throw refused(to, error);
    }
    socket.on('close', () => stream.push(null));
    socket.on('error', (error) => stream.destroy(unreachable(to, describeError(error))));
    if (stream.errored) throw stream.errored;
    return stream;
  };
}

/** The library rejects with an event, whose message has the status of the answer: "Unexpected server response: 403". */
function refused(to: PodPort, error: unknown): ImpoundError {
  const { message } = (error ?? {}) as { readonly message?: unknown };
  const text = typeof message === 'string' ? message : describeError(error);
  const context = { operation: 'port-forward', thing: `${to.namespace}/${to.pod}`, cause: error };
  if (!/response: 40[13]/.test(text)) return unreachable(to, text, error);
  const what = `you may not port-forward to pod ${to.pod}: ask for the right "create" on pods/portforward in namespace ${to.namespace}`;
  return new ImpoundError('api-denied', what, context);
}

function unreachable({ namespace, pod, port }: PodPort, why: string, cause?: unknown): ImpoundError {
  const message = `port ${port} of pod ${namespace}/${pod} cannot be reached through the API server: ${why}`;
  return new ImpoundError('api-unreachable', message, { operation: 'port-forward', thing: pod, cause });
}
