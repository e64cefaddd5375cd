// Bundles in a real S3 of the tests' own: a store on it, a capture into it, the AWS configuration of a person.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Collector, type CollectorResult, runCapture } from '../../capture/index.ts';
import {
  beginBundle,
  beginSession,
  bundleId,
  type ChainHead,
  type ChainWriter,
  type Custody,
  type Ending,
  endBundle,
  LocalCustodian,
  type Signer,
  systemClock,
} from '../../evidence/index.ts';
import { S3Store, type S3StoreOptions } from '../../evidence/store/s3/store.ts';
import type { S3 } from '../testbed/s3.ts';
import { custodyOf, silentLog } from './bundle.ts';

export const EVIDENCE = 'evidence';

export function s3StoreOf(s3: S3, prefix: string, more: Partial<S3StoreOptions> = {}): S3Store {
  const { endpoint, region, accessKeyId, secretAccessKey } = s3;
  return new S3Store({
    bucket: EVIDENCE,
    prefix,
    endpoint,
    region,
    credentials: { accessKeyId, secretAccessKey },
    ...more,
  });
}

/** Puts the server's account where every AWS program looks for it: ~/.aws of `home`. */
export async function writeAwsFiles(home: string, { accessKeyId, secretAccessKey, region }: S3): Promise<void> {
  await mkdir(join(home, '.aws'), { recursive: true });
  const credentials = `aws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`;
  await writeFile(join(home, '.aws/credentials'), `[default]\n${credentials}`);
  await writeFile(join(home, '.aws/config'), `[default]\nregion = ${region}\n`);
}

export type Captured =
  | { readonly kind: 'sealed'; readonly head: ChainHead }
  /** The store failed, and what was there by then is sealed, or is not. */
  | { readonly kind: 'failed'; readonly error: unknown; readonly rescued: boolean; readonly rescueError?: unknown };

export interface BegunCapture {
  readonly chain: ChainWriter;
  readonly custodian: LocalCustodian;
  /** Collects; to be flushed and ended by whoever began it. */
  run(): Promise<readonly CollectorResult[]>;
}

/** A bundle with its grant and its session; `bundle` is what its chain calls it. */
export async function beginCapture(
  custody: Custody,
  collectors: readonly Collector[],
  bundle = bundleId(new Date()),
): Promise<BegunCapture> {
  const request = { requestedBy: 'tester', requestedAt: new Date().toISOString(), reason: null, case: null };
  const chain = await beginBundle(custody, { bundle, node: 'here', profile: 'quick', ...request });
  const names = collectors.map(({ name }) => name);
  const session = { session: 1, software: custody.software, profile: 'quick', collectors: names, suspects: [] };
  await beginSession(chain, session);
  const custodian = new LocalCustodian({ store: custody.store, chain, clock: systemClock });
  const run = () =>
    runCapture({
      collectors,
      skipped: [],
      context: (base) => base,
      custodian,
      session: 1,
      signal: new AbortController().signal,
      log: silentLog,
      clock: systemClock,
      observe: () => undefined,
    });
  return { chain, custodian, run };
}

export interface CaptureInto {
  readonly store: S3Store;
  readonly collectors: readonly Collector[];
  readonly signer: Signer;
  /** After the grant, before anything is collected. */
  readonly begun?: (custody: Custody) => void;
}

/** A capture as `capture --local` does it: what fails on the way is sealed as far as it came. */
export async function captureInto({ store, collectors, signer, begun }: CaptureInto): Promise<Captured> {
  const custody = custodyOf(store, signer);
  try {
    const { chain, custodian, run } = await beginCapture(custody, collectors);
    begun?.(custody);
    const end = async (ending: Ending): Promise<ChainHead> => {
      await custodian.flush();
      return endBundle(custody, chain, ending);
    };
    const results = await run().catch((error: unknown): { readonly error: unknown } => ({ error }));
    if ('error' in results) {
      const { error } = results;
      return await end({ outcome: 'aborted', recover: true }).then(
        (): Captured => ({ kind: 'failed', error, rescued: true }),
        (rescueError: unknown): Captured => ({ kind: 'failed', error, rescued: false, rescueError }),
      );
    }
    const gaps = results.flatMap((result) => result.gaps);
    return { kind: 'sealed', head: await end({ outcome: 'complete', gaps, footprint: [] }) };
  } catch (error) {
    return { kind: 'failed', error, rescued: false };
  }
}
