// Question six: is each RFC 3161 token over the entry it stands beside?
import { createHash } from 'node:crypto';
import { RFC3161Timestamp } from '@sigstore/core';
import { describeError } from '../errors.ts';
import { MAX_ENTRY_BYTES } from '../format/envelope.ts';
import { entryPath, layoutOf } from '../format/layout.ts';
import { readWhole, type Store } from '../store/store.ts';
import type { Findings } from './report.ts';

const MAX_TOKEN_BYTES = 256 * 1024;

/** Whether the authority is to be trusted is another question, which needs its certificate: said as a warning. */
export async function checkTimestamps(
  store: Store,
  files: ReadonlyMap<string, number>,
  report: Findings,
): Promise<void> {
  for (const path of files.keys()) {
    const layout = layoutOf(path);
    if (layout?.kind !== 'timestamp') continue;
    const entry = entryPath(layout.sequence);
    if (!files.has(entry)) {
      report.add('timestamp-altered', path, 'there is no entry that it could be over');
      continue;
    }
    const bytes = await readBoth(store, path, entry, report);
    if (bytes !== undefined && !isOver(bytes.token, bytes.entry)) {
      report.add('timestamp-altered', path, 'it is not a time-stamp token over its entry');
    } else if (bytes !== undefined) {
      report.warn('timestamp-unchecked', path, 'it is over its entry; its authority was not checked');
    }
  }
}

async function readBoth(
  store: Store,
  path: string,
  entry: string,
  report: Findings,
): Promise<{ readonly token: Buffer; readonly entry: Buffer } | undefined> {
  try {
    return {
      token: await readWhole(store, path, MAX_TOKEN_BYTES),
      entry: await readWhole(store, entry, MAX_ENTRY_BYTES),
    };
  } catch (error) {
    report.skip(path, describeError(error));
    return undefined;
  }
}

function isOver(token: Buffer, entry: Buffer): boolean {
  try {
    const { tstInfo } = RFC3161Timestamp.parse(Buffer.from(token));
    const digest = createHash(tstInfo.messageImprintHashAlgorithm).update(entry).digest();
    return digest.equals(tstInfo.messageImprintHashedMessage);
  } catch {
    return false; // whatever the parser stumbles over, it is no token
  }
}
