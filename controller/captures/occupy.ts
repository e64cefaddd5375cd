// Before a bundle is sealed: nothing may appear in it afterwards by a URL that is still out.
import { type ArtefactRecord, type ChainWriter, type Custody, ImpoundError } from '../../evidence/index.ts';
import type { Outstanding } from '../agents/claims.ts';

/** A request that began before its URL had expired may last as long. */
const LATE_MILLISECONDS = 60_000;

/**
 * The path of each outstanding claim is taken first. What was sent meanwhile stands there, and is read back with the rest.
 */
export async function occupy(
  { store, clock }: Custody,
  chain: ChainWriter,
  outstanding: readonly Outstanding[],
): Promise<void> {
  const artefacts: ArtefactRecord[] = [];
  for (const { path, size, until } of outstanding) {
    const begun = clock.now().toISOString();
    try {
      const stored = await store.put(path, Buffer.alloc(0));
      const truncated = `the agent claimed ${size} bytes for it and never sent them`;
      const own = { collector: 'impound', session: 1, source: 'a claim', begun, ended: begun, truncated };
      artefacts.push({ path, ...stored, ...own });
    } catch (error) {
      const isTaken = error instanceof ImpoundError && error.code === 'object-exists';
      // a path that the store will not have, such as one that is a folder there, is waited for until no URL is valid
      if (!isTaken && clock.now().getTime() < until + LATE_MILLISECONDS) throw error;
    }
  }
  if (artefacts.length === 0) return;
  const subjects = artefacts.map(({ path, sha256 }) => ({ name: path, digest: { sha256 } }));
  await chain.append('collect', { artefacts }, { subjects });
}
