// NodeCaptures as the command line asks for them: by name, by node, all.
import { ImpoundError } from '../../evidence/index.ts';
import { unlessMissing } from '../../kubernetes/index.ts';
import { type NodeCapture, parseNodeCapture } from '../../protocol/index.ts';
import { CAPTURE_NAME } from './capture-name.ts';
import type { Connection } from './connect.ts';
import { similarTo } from './similar.ts';

export const CAPTURES = '/apis/impound.dev/v1alpha1/nodecaptures';
/** Nothing more happens to one, but for its release. */
const ENDED: readonly (string | undefined)[] = ['Sealed', 'Failed', 'Cancelled', 'Released'];

export function isEnded({ status }: NodeCapture): boolean {
  return ENDED.includes(status?.phase);
}

/** Throws `usage` for what is no name, `api-missing` with names like it where there is none. */
export async function getCapture(connection: Connection, name: string): Promise<NodeCapture> {
  try {
    return parseNodeCapture(await connection.kubernetes.get(pathOf(name)));
  } catch (error) {
    if (!(error instanceof ImpoundError && error.code === 'api-missing')) throw error;
    throw (await notInstalled(connection, error)) ?? (await unknown(connection, name, error));
  }
}

/** By creation, oldest first. */
export async function listCaptures(connection: Connection, node?: string): Promise<readonly NodeCapture[]> {
  const query = node === undefined ? {} : { query: { fieldSelector: `spec.node=${node}` } };
  try {
    const { items } = await connection.kubernetes.list<unknown>(CAPTURES, query);
    const created = ({ metadata }: NodeCapture): string => metadata.creationTimestamp ?? '';
    return items.map(parseNodeCapture).toSorted((a, b) => (created(a) < created(b) ? -1 : 1));
  } catch (error) {
    throw (error instanceof ImpoundError && (await notInstalled(connection, error))) || error;
  }
}

/** Sets a switch of the spec. */
export async function patchCapture({ kubernetes }: Connection, name: string, spec: object): Promise<NodeCapture> {
  return parseNodeCapture(await kubernetes.patch(pathOf(name), 'merge', { spec }));
}

/** Undefined where it is another error, or Impound is there. */
export async function notInstalled({ kubernetes }: Connection, error: ImpoundError): Promise<ImpoundError | undefined> {
  if (error.code !== 'api-missing') return undefined;
  const there = await unlessMissing(kubernetes.get('/apis/impound.dev/v1alpha1')).catch(() => 'not known');
  if (there !== undefined) return undefined;
  const message = `Impound is not installed in this cluster (${kubernetes.server} knows no NodeCapture): another context, or docs/install.md`;
  return new ImpoundError('api-missing', message, { operation: 'find captures', cause: error });
}

function pathOf(name: string): string {
  if (CAPTURE_NAME.test(name)) return `${CAPTURES}/${name}`;
  throw new ImpoundError('usage', `"${name}" is not the name of a capture; "impound list" shows them`, {
    operation: 'read arguments',
    thing: name,
  });
}

async function unknown(connection: Connection, name: string, cause: ImpoundError): Promise<ImpoundError> {
  const names = await listCaptures(connection).then(
    (captures) => captures.map(({ metadata }) => metadata.name),
    () => [], // may not be allowed
  );
  const message = `there is no capture ${name}${similarTo(name, names, '; "impound list" shows them')}`;
  return new ImpoundError('api-missing', message, { operation: 'find capture', thing: name, cause });
}
