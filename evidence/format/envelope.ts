// DSSE envelopes: https://github.com/secure-systems-lab/dsse/blob/master/envelope.md
import { dsse } from '@sigstore/core';
import { ImpoundError } from '../errors.ts';
import { isRecord, parseJson } from './entry.ts';
import { isCanonicalSignature } from './signature.ts';

export const PAYLOAD_TYPE = 'application/vnd.in-toto+json';
/** A larger entry is refused unread: the largest honest one (a second's artefacts and their gaps) is far below. */
export const MAX_ENTRY_BYTES = 4 * 1024 * 1024;

export interface Envelope {
  readonly payload: Buffer;
  readonly keyid: string;
  readonly signature: Buffer;
}

/** The bytes that are signed for a payload: DSSE's pre-authentication encoding. */
export function signedBytes(payload: Uint8Array): Buffer {
  return dsse.preAuthEncoding(PAYLOAD_TYPE, Buffer.from(payload));
}

/** The stored form, one line of JSON: only these bytes are accepted back. */
export function encodeEnvelope(envelope: Envelope): Buffer {
  const { payload, keyid, signature } = envelope;
  return Buffer.from(
    `${JSON.stringify({
      payload: payload.toString('base64'),
      payloadType: PAYLOAD_TYPE,
      signatures: [{ keyid, sig: signature.toString('base64') }],
    })}\n`,
  );
}

/** Reads a stored envelope; throws `entry-too-large` or `entry-invalid`. Bytes that we would write otherwise are refused. */
export function parseEnvelope(bytes: Uint8Array, thing: string): Envelope {
  if (bytes.length > MAX_ENTRY_BYTES) {
    throw new ImpoundError('entry-too-large', `${thing} has ${bytes.length} bytes, more than an entry may have`, {
      operation: 'read entry',
      thing,
    });
  }
  const value = parseJson(bytes, thing);
  const signatures = isRecord(value) ? value.signatures : undefined;
  const first: unknown = Array.isArray(signatures) ? signatures[0] : undefined;
  if (
    !isRecord(value) ||
    typeof value.payload !== 'string' ||
    !isRecord(first) ||
    typeof first.keyid !== 'string' ||
    typeof first.sig !== 'string'
  ) {
    throw invalid(thing, 'is not a DSSE envelope');
  }
  const envelope: Envelope = {
    payload: Buffer.from(value.payload, 'base64'),
    keyid: first.keyid,
    signature: Buffer.from(first.sig, 'base64'),
  };
  // spaces, a second signature or unused base64 bits would let a stored entry change without its signature noticing
  const canonical = encodeEnvelope(envelope).equals(bytes) && isCanonicalSignature(envelope.signature);
  if (!canonical) throw invalid(thing, 'is not written as the format writes envelopes');
  return envelope;
}

function invalid(thing: string, why: string): ImpoundError {
  return new ImpoundError('entry-invalid', `${thing} ${why}`, { operation: 'read entry', thing });
}
