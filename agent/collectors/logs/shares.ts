// Of histories no user can take the room of another: each home has bytes of its own, root's and the system's come first.
import type { Found, Share } from '../files/find.ts';
import { type Home, isSystem } from '../files/homes.ts';

/** Of one home at most. */
const HOME_BYTES = 16 * 1024 ** 2;
/** Bytes written for one that is charged: holes are free, but take time, and the collector's limit counts them. */
const SPARSE = 4;

/**
 * The same files with a share of `bytes` for each home they are in, by the owner of the home: root
 * first. The system's homes have up to half.
 */
export function fairShares(found: readonly Found[], bytes: number): readonly Found[] {
  const homes = [...new Set(found.flatMap(({ home }) => home ?? []))].toSorted((a, b) => a.uid - b.uid);
  const system = homes.filter(isSystem);
  const ofSystem = Math.min(HOME_BYTES, Math.floor(bytes / 2 / system.length));
  const users = homes.filter((home) => !isSystem(home));
  const ofUsers = Math.min(HOME_BYTES, Math.floor((bytes - ofSystem * system.length) / users.length));
  const shares = new Map<Home | undefined, Share>();
  for (const home of homes) {
    const left = isSystem(home) ? ofSystem : ofUsers;
    shares.set(home, { left, lengthLeft: SPARSE * left });
  }
  const byHome = Map.groupBy(found, ({ home }) => home);
  return [undefined, ...system, ...users].flatMap((home) =>
    (byHome.get(home) ?? []).map((item) => {
      const share = shares.get(home);
      return share === undefined ? item : { ...item, share };
    }),
  );
}
