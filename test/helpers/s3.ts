// Bundles in a real S3 of the tests' own: a store on it, a capture into it, the AWS configuration of a person.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Collector, runCapture } from '../../capture/index.ts';
import {
  beginBundle,
  beginSession,
  bundleId,
  type ChainHead,
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
  const request = { requestedBy: 'tester', requestedAt: new Date().toISOString(), reason: null, case: null };
  try {
    const bundle = bundleId(new Date());
    const chain = await beginBundle(custody, { bundle, node: 'here', profile: 'quick', ...request });
    const names = collectors.map(({ name }) => name);
    const session = { session: 1, software: custody.software, profile: 'quick', collectors: names, suspects: [] };
    await beginSession(chain, session);
    begun?.(custody);
    const custodian = new LocalCustodian({ store, chain, clock: systemClock });
    const end = async (ending: Ending): Promise<ChainHead> => {
      await custodian.flush();
      return endBundle(custody, chain, ending);
    };
    const run = { collectors, skipped: [], context: (base: Parameters<Collector['collect']>[0]) => base };
    const signal = new AbortController().signal;
    const rest = { custodian, session: 1, signal, log: silentLog, clock: systemClock, observe: () => undefined };
    const results = await runCapture({ ...run, ...rest }).catch((error: unknown): { readonly error: unknown } => ({
      error,
    }));
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
