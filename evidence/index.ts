// The door of the room: what a bundle is, how it is written, how it is proven.

export {
  beginBundle,
  beginSession,
  type CaptureRequest,
  type Custody,
  type Ending,
  endBundle,
  recoverBundle,
} from './custody/bundle.ts';
export { type ChainEntry, readChain } from './custody/chain-reader.ts';
export { type ChainHead, ChainWriter } from './custody/chain-writer.ts';
export type { ArtefactEnd, ArtefactSpec, ArtefactWriter, Custodian } from './custody/custodian.ts';
export { generateKeyFiles, readPublicKey, readSigner, type TrustedKey } from './custody/key.ts';
export { LocalCustodian } from './custody/local-custodian.ts';
export { describeError, type ErrorCode, errnoOf, ImpoundError } from './errors.ts';
export { type Coverage, gapGroups, records } from './format/coverage.ts';
export type { Predicate, SessionDetails, Statement } from './format/entry.ts';
export { jsonLine, jsonLines, textField } from './format/json.ts';
export { assertName, bundlePrefix, isBundlePath } from './format/layout.ts';
export { payloadDigests } from './format/manifest.ts';
export type * from './format/record.ts';
export { bundleId } from './id.ts';
export { type Actor, type Clock, type Logger, type Signer, systemClock } from './ports.ts';
export { DirectoryStore } from './store/directory.ts';
export { readWhole, type Store } from './store/store.ts';
export {
  INNER_MANIFEST,
  type Member,
  type MemberKind,
  type MemberRecord,
  type MemberStream,
  tarArchive,
} from './stream/archive.ts';
export { Channel } from './stream/channel.ts';
export { type Sha256Stream, sha256Stream } from './stream/hash.ts';
export { forEachBounded } from './stream/pool.ts';
export { workerScript } from './stream/worker.ts';
export { zstdCompress, zstdDecompress } from './stream/zstd.ts';
export { MAX_CONTENT_BYTES } from './verify/archive.ts';
export type { Finding, Unchecked, Verdict, VerifyReport, Warning } from './verify/report.ts';
export { verifyBundle } from './verify/verify.ts';
