// What a capture of the bed has left in the store, as a person would look at it.
import { type ChainEntry, type Coverage, openS3Store, readChain, type Store } from '../../evidence/index.ts';
import type { NodeCapture } from '../../protocol/index.ts';
import type { Impound } from '../testbed/impound.ts';
import { cli, type Ran } from './cli.ts';
import { rowsOf } from './collect.ts';

export interface GapRow {
  readonly collector: string;
  readonly session: number;
  readonly reason: string;
  readonly names: readonly string[];
}

/** However Impound was started. */
type Stored = Pick<Impound, 's3'>;

export async function storeOf({ s3 }: Stored, { status }: NodeCapture): Promise<Store> {
  const [bucket = '', ...prefix] = (status?.bundle?.url ?? '').replace('s3://', '').split('/');
  const { endpoint, region, accessKeyId, secretAccessKey } = s3;
  const place = { bucket, prefix: prefix.join('/'), endpoint, region };
  return openS3Store({ ...place, credentials: { accessKeyId, secretAccessKey } });
}

export async function chainOf(impound: Stored, capture: NodeCapture): Promise<readonly ChainEntry[]> {
  return readChain(await storeOf(impound, capture));
}

/** Details of the notes of this reason. */
export function notes(chain: readonly ChainEntry[], reason: string): readonly Readonly<Record<string, unknown>>[] {
  return chain
    .map(({ statement }) => statement.predicate)
    .filter(({ action, details }) => action === 'note' && details.reason === reason)
    .map(({ details }) => details);
}

/** `impound verify --strict` with the controller's key, up to the head that the status has. */
export function verified(
  { publicKey, aws }: Pick<Impound, 'publicKey' | 'aws'>,
  { status }: NodeCapture,
  home: string,
): Promise<Ran> {
  const { url = '', head } = status?.bundle ?? {};
  const words = ['verify', url, '--strict', '--key', publicKey, '--head', `${head?.sequence}:${head?.sha256}`];
  return cli(words, { home, env: { ...aws, AWS_EC2_METADATA_DISABLED: 'true' } });
}

export async function gapsOf(impound: Stored, capture: NodeCapture): Promise<readonly GapRow[]> {
  const rows: readonly object[] = rowsOf(await read(impound, capture, 'data/00-meta/gaps.jsonl'));
  return rows as readonly GapRow[];
}

export async function coverageOf(impound: Stored, capture: NodeCapture): Promise<Coverage> {
  return JSON.parse((await read(impound, capture, 'data/00-meta/coverage.json')).toString()) as Coverage;
}

async function read(impound: Stored, capture: NodeCapture, path: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await storeOf(impound, capture)).read(path)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
