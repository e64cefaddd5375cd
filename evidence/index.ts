// The door of the room: what a bundle is, how it is written, how it is proven.

export { type ArtefactOptions, openArtefact } from './custody/artefact.ts';
export {
  beginBundle,
  beginSession,
  type CaptureRequest,
  type Custody,
  type Ending,
  endBundle,
  recoverBundle,
} from './custody/bundle.ts';
export { ChainBatch } from './custody/chain-batch.ts';
export { type ChainEntry, chainEnd, readChain } from './custody/chain-reader.ts';
export { type ChainHead, ChainWriter } from './custody/chain-writer.ts';
export type { ArtefactEnd, ArtefactSpec, ArtefactWriter, Custodian } from './custody/custodian.ts';
export { takesEntriesBy } from './custody/introduced.ts';
export {
  generateKeyFiles,
  keyidOf,
  parsePublicKey,
  publicPem,
  readPublicKey,
  readSigner,
  type TrustedKey,
} from './custody/key.ts';
export { LocalCustodian } from './custody/local-custodian.ts';
export { addTimestamps, type CaptureStamps, type Stamp, stampCapture } from './custody/timestamp.ts';
export { assertAuthorityUrl } from './custody/timestamp-request.ts';
export { certificateCode, describeError, type ErrorCode, errnoOf, ImpoundError } from './errors.ts';
export { type Coverage, coverage, gapGroups, records, unfinishedGaps } from './format/coverage.ts';
export type { Predicate, SessionDetails, Statement } from './format/entry.ts';
export { jsonLine, jsonLines, textField } from './format/json.ts';
export {
  assertName,
  bundlePrefix,
  DATA_FOLDERS,
  ENCRYPTED,
  entryPath,
  isBundlePath,
  layoutOf,
  MANIFEST,
  REQUEST,
  TAG_MANIFEST,
} from './format/layout.ts';
export { parseManifest, payloadDigests } from './format/manifest.ts';
export type * from './format/record.ts';
export { bundleId } from './id.ts';
export { type Actor, type Clock, LOG_LEVELS, type Logger, type LogLevel, type Signer, systemClock } from './ports.ts';
export type { CheckResult, Outcome, StoreCheck } from './store/check.ts';
export { checkDirectory } from './store/check-directory.ts';
export { DirectoryStore } from './store/directory.ts';
export { makeFolder } from './store/folders.ts';
export { parseS3Url, type S3Location } from './store/location.ts';
export { checkS3Store, openS3Store, type S3Protection } from './store/open-s3.ts';
export { type Patience, retrying } from './store/s3/retry.ts';
export { type ReadOptions, readWhole, type Store, type StoreEntry } from './store/store.ts';
export type { Grant, ObjectClaim, PartClaim, UploadGrants } from './store/upload/grants.ts';
export { type Uploader, type UploaderOptions, uploader } from './store/upload.ts';
export type { Received, Receiver, Uploads, UploadsOptions } from './store/uploads.ts';
export { ageDecrypt } from './stream/age/decrypt.ts';
export { type AgeIdentities, readIdentities } from './stream/age/identities.ts';
export { type AgeRecipient, parseRecipients } from './stream/age/recipients.ts';
export {
  INNER_MANIFEST,
  type Member,
  type MemberKind,
  type MemberRecord,
  type MemberStream,
  tarArchive,
} from './stream/archive.ts';
export { Channel } from './stream/channel.ts';
export { digestOf, type Sha256Stream, sha256Stream } from './stream/hash.ts';
export { forEachBounded, gate } from './stream/pool.ts';
export { unlessAborted, within } from './stream/within.ts';
export { workerScript } from './stream/worker.ts';
export { zstdCompress, zstdDecompress } from './stream/zstd.ts';
export { MAX_CONTENT_BYTES } from './verify/archive.ts';
export type { Finding, Unchecked, Verdict, VerifyReport, Warning } from './verify/report.ts';
export { readAuthorities } from './verify/timestamp-authority.ts';
export { verifyBundle } from './verify/verify.ts';
