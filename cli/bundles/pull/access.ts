// Puts the access on the custody chain, signed: before any evidence is read.
import {
  type ChainEntry,
  type ChainHead,
  ChainWriter,
  ImpoundError,
  type Store,
  systemClock,
  takesEntriesBy,
} from '../../../evidence/index.ts';
import { actorFor } from '../../actor.ts';
import type { Environment } from '../../command.ts';
import type { PullArguments } from '../../commands/pull.ts';
import { signingKey } from '../../key.ts';

/** Throws where the chain cannot be written: then nothing is read either. */
export async function recordAccess(
  store: Store,
  entries: readonly ChainEntry[],
  argv: PullArguments,
  environment: Environment,
): Promise<ChainHead> {
  const { key, reason, only } = argv;
  const { signer } = await signingKey(key, environment);
  assertTakesAccess(entries, signer.keyid);
  const bundle = entries[0]?.statement.predicate.bundle ?? '';
  const actor = await actorFor(store, argv);
  const chain = new ChainWriter({ store, bundle, signer, actor, clock: systemClock, entries });
  try {
    return await chain.append('access', { reason, ...(only.length === 0 ? {} : { only }), keyid: signer.keyid });
  } catch (error) {
    if (!(error instanceof ImpoundError && error.code === 'store-denied')) throw error;
    throw new ImpoundError(
      'store-denied',
      `the access cannot be written to the custody chain, so nothing was read: ${error.message}; or say --unrecorded`,
      { operation: 'pull', thing: store.url, cause: error },
    );
  }
}

function assertTakesAccess(entries: readonly ChainEntry[], keyid: string): void {
  if (takesEntriesBy(entries, keyid)) return;
  throw new ImpoundError(
    'key-unsuitable',
    'the bundle is not sealed, and an access by another key than its own would break its chain: "impound seal" it first, give its key as --key, or say --unrecorded',
    { operation: 'pull', thing: entries[0]?.statement.predicate.bundle ?? '' },
  );
}
