// What a replica has seen of the lease, and since when by its own clock: clocks of two nodes are never compared.
import type { LeaseRecord } from './lease-record.ts';

/** A holder that asks for more, by mistake or on purpose, does not block the others for longer. */
const MOST_LEASES = 10;

export interface Leader {
  readonly identity: string;
  readonly address: string | undefined;
}

export interface LeaseView {
  /** `asked`: when the request was sent, by performance.now(). True where we may take the lease. */
  saw(record: LeaseRecord | undefined, asked: number): boolean;
  /** The other that holds it, as far as is known. */
  leader(): Leader | undefined;
}

export function openLeaseView(identity: string, leaseMilliseconds: number): LeaseView {
  let seen: LeaseRecord | undefined;
  /** Of the first answer that said so. */
  let since = 0;

  const isOver = (at: number): boolean => {
    const asked = seen?.leaseMilliseconds ?? 0;
    return at - since >= Math.min(Math.max(leaseMilliseconds, asked), MOST_LEASES * leaseMilliseconds);
  };
  const isAnothers = (): boolean => seen?.holder !== undefined && seen.holder !== identity;

  return {
    saw(record, asked) {
      // a lease that was deleted still has a holder who does not know it yet
      if (record !== undefined) {
        if (seen?.sign !== record.sign) since = performance.now();
        seen = record;
      }
      // it had not changed when the server was asked: what came to pass while its answer was under way is not known
      return !isAnothers() || isOver(asked);
    },
    leader() {
      if (seen?.holder === undefined || !isAnothers() || isOver(performance.now())) return undefined;
      return { identity: seen.holder, address: seen.address };
    },
  };
}
