// Objects for a store that only somebody else has credentials of: that one grants a URL for each piece, whose size and
// digest are settled before. Nothing of the AWS SDK is loaded here.
import { assertBundlePath } from '../format/layout.ts';
import { PATIENCE, type Patience } from './s3/retry.ts';
import type { ObjectWriter } from './store.ts';
import { grantedSender } from './upload/granted-sender.ts';
import type { UploadGrants } from './upload/grants.ts';
import { PartMemory } from './upload/part-memory.ts';
import { PartWriter } from './upload/part-writer.ts';
import { connections } from './upload/send.ts';

export interface UploaderOptions {
  readonly grants: UploadGrants;
  readonly patience?: Patience;
  /** PEM of an authority that is trusted beside the system's, where whoever grants the URLs takes the bytes too. */
  readonly ca?: string;
  /** Ends what waits and what is under way: each then throws `aborted`. */
  readonly signal?: AbortSignal;
}

/** All objects of one share the memory of parts and the connections. */
export interface Uploader {
  /**
   * Writing and committing throw `object-exists`, store-unreachable, store-denied, store-clock, store-full, store-failed, aborted, and what the
   * grants throw. What was abandoned stays in the store as an unfinished upload.
   */
  create(path: string): Promise<ObjectWriter>;
  /** Ends the connections that are kept. */
  close(): void;
}

/** Throws `certificate-unreadable`. */
export function uploader({ grants, patience = PATIENCE, ca, signal }: UploaderOptions): Uploader {
  const memory = new PartMemory();
  const kept = connections({ ca, signal });
  return {
    async create(path) {
      assertBundlePath(path, 'upload');
      return new PartWriter({ sender: grantedSender({ grants, path, connections: kept, patience, signal }), memory });
    },
    close: () => kept.close(),
  };
}
