// The pen goes with the lead: a replica that has lost it, or stepped down, signs nothing more, whatever it still does.
import { ImpoundError, type Signer } from '../evidence/index.ts';

/** Throws `aborted` where this replica does not lead at that very moment. */
export function leadersSigner(signer: Signer, isLeader: () => boolean): Signer {
  return {
    kind: signer.kind,
    keyid: signer.keyid,
    publicKeyPem: signer.publicKeyPem,
    async sign(bytes) {
      if (isLeader()) return signer.sign(bytes);
      throw new ImpoundError('aborted', 'this replica does not lead now: it signs nothing', { operation: 'sign' });
    },
  };
}
