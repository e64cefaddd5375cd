// Opens the bundle of a capture by its name, through the controller: nobody needs a credential of the store for that.
import { type ChainHead, ImpoundError, type Store } from '../../evidence/index.ts';
import type { ControllerArguments } from '../commands/cluster-options.ts';
import { usage } from '../usage.ts';
import { getCapture } from './captures.ts';
import { type Connection, connect } from './connect.ts';
import { controllerClient } from './controller-client.ts';
import { controllerTarget } from './controller-target.ts';
import { remoteStore } from './remote-store.ts';
import { assertMay } from './rights.ts';

/** The controller takes as many in one entry. */
const MAX_PATHS = 64;

export interface CaptureBundle extends AsyncDisposable {
  readonly store: Store;
  readonly path: string;
  /** Puts the access on the chain in the person's name, by the controller; `paths` as in docs/api.md. */
  record(purpose: string, paths?: readonly string[]): Promise<ChainHead>;
}

/** Throws `api-denied` where one may not read evidence, and what `connect` and `controllerTarget` throw. */
export async function openCaptureBundle(name: string, argv: ControllerArguments): Promise<CaptureBundle> {
  if (argv.as !== undefined)
    throw usage('--as: the controller knows you by your own token; read evidence without it, as yourself');
  const connection = await connect(argv);
  try {
    await assertMay(connection, [{ verb: 'get', subresource: 'bundle', name }], 'impound-analyst');
    const { status } = await getCapture(connection, name);
    const url = status?.bundle?.url;
    if (url === undefined) {
      const why = `capture ${name} has no bundle (yet): it is ${status?.phase ?? 'Pending'}`;
      throw new ImpoundError('not-a-bundle', why, { operation: 'open bundle', thing: name });
    }
    const token = (): Promise<string> => bearer(connection);
    await token();
    const client = controllerClient(await controllerTarget(connection, argv), token);
    return {
      store: remoteStore({ client, name, url }),
      path: url,
      async record(purpose, paths) {
        const few = paths !== undefined && paths.length > 0 && paths.length <= MAX_PATHS ? { paths } : {};
        const where = `/v1/captures/${encodeURIComponent(name)}/access`;
        const { sequence, sha256 } = (await client.json({ path: where, json: { purpose, ...few } })) as ChainHead;
        return { sequence, sha256 };
      },
      async [Symbol.asyncDispose]() {
        client.close();
        await connection[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await connection[Symbol.asyncDispose]();
    throw error;
  }
}

/** The header by which the controller knows the person. Throws `controller-denied` where there is none. */
export async function bearer({ headers }: Pick<Connection, 'headers'>): Promise<string> {
  const sent = Object.entries(await headers()).find(([name]) => name.toLowerCase() === 'authorization')?.[1];
  if (sent?.startsWith('Bearer ') === true) return sent;
  const message =
    'the controller knows people by a token, and this context logs in without one (by a client certificate): use a context whose user has a token, such as one of "kubectl create token SERVICE-ACCOUNT"';
  throw new ImpoundError('controller-denied', message, { operation: 'ask controller' });
}
