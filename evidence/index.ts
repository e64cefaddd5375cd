// The door of the room: what a bundle is, how it is written, how it is proven.
export {
  INNER_MANIFEST,
  type Member,
  type MemberKind,
  type MemberRecord,
  type MemberStream,
  tarArchive,
} from './archive.ts';
export { Channel } from './channel.ts';
export { describeError, type ErrorCode, errnoOf, ImpoundError } from './errors.ts';
export { jsonLine, jsonLines, textField, utf8OrUndefined } from './format/json.ts';
export type * from './format/record.ts';
export { type Actor, type Clock, type Logger, type Signer, systemClock } from './ports.ts';
