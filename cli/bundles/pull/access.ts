// Puts the access on the custody chain, signed: before any evidence is read.
import {
  type ChainEntry,
  type ChainHead,
  ChainWriter,
  ImpoundError,
  type Store,
  systemClock,
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

/** After the seal anybody's access is only reported; before it, an entry by a strange key breaks the chain. */
function assertTakesAccess(entries: readonly ChainEntry[], keyid: string): void {
  const predicates = entries.map(({ statement }) => statement.predicate);
  const own =
    entries[0]?.envelope.keyid === keyid ||
    predicates.some(({ action, details }) => action === 'transfer' && details.keyid === keyid);
  if (own || predicates.some(({ action }) => action === 'seal')) return;
  throw new ImpoundError(
    'key-unsuitable',
    'the bundle is not sealed, and an access by another key than its own would break its chain: "impound seal" it first, give its key as --key, or say --unrecorded',
    { operation: 'pull', thing: predicates[0]?.bundle ?? '' },
  );
}
