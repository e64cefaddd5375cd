// ECDSA signatures in their one canonical form: of (r, s) and (r, n - s), which both verify, only the smaller s is taken.
import { ImpoundError } from '../errors.ts';

/** Order of P-256, SEC 2. */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** The same signature with the smaller s, in DER (RFC 3279, section 2.2.3). */
export function canonicalSignature(der: Uint8Array): Buffer {
  const numbers = parseDer(der);
  if (numbers === undefined) {
    throw new ImpoundError('key-unsuitable', 'the key did not give an ECDSA signature in DER', { operation: 'sign' });
  }
  const [r, s] = numbers;
  const body = Buffer.concat([derInteger(r), derInteger(s > ORDER / 2n ? ORDER - s : s)]);
  return Buffer.concat([Buffer.from([0x30, body.length]), body]);
}

/** False for any other writing of the signature, which somebody could put in its place. */
export function isCanonicalSignature(der: Uint8Array): boolean {
  return parseDer(der) !== undefined && canonicalSignature(der).equals(der);
}

function parseDer(der: Uint8Array): readonly [bigint, bigint] | undefined {
  const bytes = Buffer.from(der);
  if (bytes[0] !== 0x30 || bytes[1] !== bytes.length - 2 || bytes[2] !== 2) return undefined;
  const middle = 4 + (bytes[3] ?? 0);
  if (bytes[middle] !== 2 || middle + 2 + (bytes[middle + 1] ?? 0) !== bytes.length) return undefined;
  const numbers = [bytes.subarray(4, middle), bytes.subarray(middle + 2)].map((part) =>
    BigInt(`0x0${part.toString('hex')}`),
  );
  const [r = 0n, s = 0n] = numbers;
  return r > 0n && s > 0n && r < ORDER && s < ORDER ? [r, s] : undefined;
}

function derInteger(value: bigint): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  const positive = bytes.readUInt8(0) < 0x80 ? bytes : Buffer.concat([Buffer.alloc(1), bytes]);
  return Buffer.concat([Buffer.from([2, positive.length]), positive]);
}
