// Question six: is each RFC 3161 token over the entry it stands beside, and by an authority that is trusted?
import { createHash, type X509Certificate } from 'node:crypto';
import type { ChainEntry } from '../custody/chain-reader.ts';
import { describeError, ImpoundError } from '../errors.ts';
import { sha256 } from '../format/digest.ts';
import { MAX_ENTRY_BYTES } from '../format/envelope.ts';
import { entryPath, layoutOf } from '../format/layout.ts';
import { readWhole, type Store } from '../store/store.ts';
import type { Findings, TrustedTimestamp } from './report.ts';
import { checkAuthority } from './timestamp-authority.ts';
import { MAX_TOKEN_BYTES, parseTimestamp, type TimestampToken } from './timestamp-token.ts';

export interface TimestampOptions {
  /** Entries that are genuine. */
  readonly chain: readonly ChainEntry[];
  /** Without any, a token is only compared with its entry. */
  readonly authorities: readonly X509Certificate[];
}

/** Far more than clocks differ that anybody keeps, and than an authority takes to answer. */
const TOLERANCE_MILLISECONDS = 5 * 60_000;

/** The time stamps whose authority is trusted, ascending by entry. */
export async function checkTimestamps(
  store: Store,
  files: ReadonlyMap<string, number>,
  { chain, authorities }: TimestampOptions,
  report: Findings,
): Promise<readonly TrustedTimestamp[]> {
  const named = namedTokens(chain);
  for (const path of named.keys()) {
    if (!files.has(path)) report.add('timestamp-missing', path, 'the chain names it, and it is not there');
  }
  const trusted: TrustedTimestamp[] = [];
  for (const path of files.keys()) {
    const layout = layoutOf(path);
    if (layout?.kind !== 'timestamp') continue;
    const token = await readToken(store, files, { path, sequence: layout.sequence, named: named.get(path) }, report);
    if (token === undefined) continue;
    const entry = chain.find(({ sequence }) => sequence === layout.sequence);
    checkClock(path, token, entry, named.get(path), report);
    if (authorities.length === 0) {
      report.warn('timestamp-unchecked', path, 'it is over its entry; its authority was not checked (give --tsa-ca)');
      continue;
    }
    const checked = checkAuthority(token, authorities);
    if (checked.kind === 'untrusted') report.add('timestamp-untrusted', path, checked.why);
    else trusted.push({ entry: layout.sequence, time: token.time.toISOString(), authority: checked.authority });
  }
  return trusted.sort((a, b) => a.entry - b.entry);
}

/** A token that was added later, as its `timestamp` entry names it. */
interface NamedToken {
  readonly sha256: string;
  readonly time: string;
}

function namedTokens(chain: readonly ChainEntry[]): ReadonlyMap<string, NamedToken> {
  const stamping = chain.filter(({ statement }) => statement.predicate.action === 'timestamp');
  return new Map(
    stamping.flatMap(({ statement: { subject, predicate } }) =>
      subject
        .filter(({ name }) => layoutOf(name)?.kind === 'timestamp')
        .map(({ name, digest }): [string, NamedToken] => [name, { sha256: digest.sha256, time: predicate.time }]),
    ),
  );
}

interface TokenFile {
  readonly path: string;
  readonly sequence: number;
  readonly named: NamedToken | undefined;
}

/** The token where it is what the chain names and is over its entry; a finding else. */
async function readToken(
  store: Store,
  files: ReadonlyMap<string, number>,
  { path, sequence, named }: TokenFile,
  report: Findings,
): Promise<TimestampToken | undefined> {
  const entry = entryPath(sequence);
  if (!files.has(entry)) {
    report.add('timestamp-altered', path, 'there is no entry that it could be over');
    return undefined;
  }
  try {
    const bytes = await readWhole(store, path, MAX_TOKEN_BYTES);
    const found = sha256(bytes);
    if (named !== undefined && named.sha256 !== found) {
      const difference = { expected: named.sha256, found };
      report.add('timestamp-altered', path, 'it is not the time stamp that the chain names', difference);
      return undefined;
    }
    const token = parseTimestamp(bytes);
    if (token.kind === 'granted' && isOver(token, await readWhole(store, entry, MAX_ENTRY_BYTES))) return token;
    report.add('timestamp-altered', path, 'it is not a time-stamp token over its entry');
  } catch (error) {
    const code = error instanceof ImpoundError ? error.code : 'internal';
    const altered = code === 'content-damaged' || code === 'content-too-large';
    if (altered) report.add('timestamp-altered', path, describeError(error));
    else report.skip(path, describeError(error));
  }
  return undefined;
}

export function isOver({ imprint }: TimestampToken, bytes: Uint8Array): boolean {
  return createHash(imprint.algorithm).update(bytes).digest().equals(imprint.digest);
}

/** A token says that its entry existed then: never before the entry says it was made, and later only where it was added. */
function checkClock(
  path: string,
  { time }: TimestampToken,
  entry: ChainEntry | undefined,
  added: NamedToken | undefined,
  report: Findings,
): void {
  if (entry === undefined) return;
  const claimed = entry.statement.predicate.time;
  const early = Date.parse(claimed) - time.getTime();
  const late = time.getTime() - Date.parse(added?.time ?? claimed);
  const seen = `its authority saw the entry at ${time.toISOString()}`;
  if (early > TOLERANCE_MILLISECONDS) report.warn('clock', path, `${seen}, before the ${claimed} that the entry gives`);
  else if (late > TOLERANCE_MILLISECONDS) {
    report.warn('clock', path, `${seen}, long after the ${added?.time ?? claimed} that the chain gives`);
  }
}
