// An RFC 3161 answer as plain data (RFC 3161, section 2.4.2; CMS: RFC 5652, section 5), read with @sigstore/core's parser.
import { ASN1Obj, RFC3161Timestamp } from '@sigstore/core';
import { describeError, ImpoundError } from '../errors.ts';

/** The largest answer of an authority that is read or stored; with a chain of certificates they have some 8 KiB. */
export const MAX_TOKEN_BYTES = 256 * 1024;

/** One signed token. Digests are named as node:crypto does; `content` is the TSTInfo exactly as it was signed. */
export interface TimestampToken {
  readonly kind: 'granted';
  readonly imprint: { readonly algorithm: string; readonly digest: Buffer };
  readonly time: Date;
  readonly nonce: bigint | undefined;
  readonly content: Buffer;
  readonly signature: TokenSignature;
  /** DER of the certificates that came with it, in no order; nothing is known of them. */
  readonly certificates: readonly Buffer[];
}

export interface TokenSignature {
  /** Issuer and serial number of the signer's certificate as DER contents; not signed themselves. */
  readonly issuer: Buffer;
  readonly serialNumber: Buffer;
  readonly digest: string;
  /** OID of the signature's algorithm. */
  readonly algorithm: string;
  /** The signed attributes as the signature is over them: DER of a SET. */
  readonly attributes: Buffer;
  /** The one value of a signed attribute by OID; undefined where it is not there. */
  readonly attribute: (oid: string) => ASN1Obj | undefined;
  readonly value: Buffer;
}

/** The authority said no; `reason` is its own text, at most 200 characters of it. */
export interface TimestampRefusal {
  readonly kind: 'refused';
  readonly reason: string;
}

const SIGNED_DATA = '1.2.840.113549.1.7.2';
const TST_INFO = '1.2.840.113549.1.9.16.1.4';
/** What an authority sends: itself, its issuers, perhaps the root. */
const MAX_CERTIFICATES = 16;
const STATUS = ['granted', 'granted with changes', 'rejected', 'waiting', 'revocation warning', 'revoked'];

/** Throws `content-damaged` for whatever is not one answer and nothing after it. */
export function parseTimestamp(bytes: Uint8Array): TimestampToken | TimestampRefusal {
  try {
    if (bytes.length > MAX_TOKEN_BYTES) throw new Error(`it has ${bytes.length} bytes`);
    const answer = RFC3161Timestamp.parse(Buffer.from(bytes));
    if (derOf(answer.root).length !== bytes.length) throw new Error('something follows it');
    if (answer.status !== 0n && answer.status !== 1n) return refusal(answer);
    return granted(answer);
  } catch (cause) {
    // the parser throws errors of every class, also for its stack when what it reads nests too deep
    throw new ImpoundError('content-damaged', `no RFC 3161 time stamp: ${describeError(cause)}`, {
      operation: 'read time stamp',
      cause,
    });
  }
}

function granted(answer: RFC3161Timestamp): TimestampToken {
  checkShape(answer.root, ANSWER_SHAPE);
  const { tstInfo } = answer;
  const signedData = at(answer.root, '1.1.0');
  if (answer.contentType !== SIGNED_DATA || answer.eContentType !== TST_INFO)
    throw new Error('it holds something else');
  const octets = at(signedData, '2.1.0');
  if (octets.subs.length !== 1) throw new Error('its content is not one value');
  const signers = signedData.subs.at(-1);
  const signer = signers?.subs[0];
  if (signer === undefined || signers?.subs.length !== 1 || signers.tag.toDER() !== 0x31)
    throw new Error('it has not exactly one signature');
  checkShape(signer, SIGNER_SHAPE);
  return {
    kind: 'granted',
    imprint: {
      algorithm: text(tstInfo.messageImprintHashAlgorithm, 'digest'),
      digest: tstInfo.messageImprintHashedMessage,
    },
    time: generalizedTime(at(tstInfo.root, '4')),
    // after the time, only the nonce is an INTEGER
    nonce: tstInfo.root.subs.slice(5).find(isInteger)?.toInteger(),
    content: octets.value,
    signature: signatureOf(answer, signer),
    certificates: certificatesOf(signedData),
  };
}

function signatureOf(answer: RFC3161Timestamp, signer: ASN1Obj): TokenSignature {
  const attributes = at(signer, '3');
  const bytes = derOf(attributes);
  bytes[0] = 0x31; // signed as a SET, stored with a tag of its own (RFC 5652, section 5.4)
  return {
    issuer: answer.signerIssuer,
    serialNumber: answer.signerSerialNumber,
    digest: text(answer.signerDigestAlgorithm, 'digest'),
    algorithm: at(signer, '4.0').toOID(),
    attributes: bytes,
    attribute: (oid) => {
      const found = attributes.subs.filter((attribute) => at(attribute, '0').toOID() === oid);
      const values = found[0]?.subs[1]?.subs ?? [];
      return found.length === 1 && values.length === 1 ? values[0] : undefined;
    },
    value: at(signer, '5').value,
  };
}

function certificatesOf(signedData: ASN1Obj): readonly Buffer[] {
  const certificates = signedData.subs.slice(3, -1).find((candidate) => candidate.tag.isContextSpecific(0))?.subs ?? [];
  if (certificates.length > MAX_CERTIFICATES) throw new Error(`it has ${certificates.length} certificates`);
  return certificates.map(derOf);
}

/** PKIStatusInfo: a number, then the authority's own words. */
function refusal({ root, status }: RFC3161Timestamp): TimestampRefusal {
  const words = at(root, '0').subs.find((sub) => sub.tag.constructed)?.subs ?? [];
  const said = words.map(({ value }) => value.toString('utf8')).join(' ');
  const name = STATUS[Number(status)] ?? `status ${status}`;
  return { kind: 'refused', reason: (said === '' ? name : `${name}: ${said}`).slice(0, 200) };
}

/** Its bytes as they were read: the parser's own toDER would read an octet string as values, and write these anew. */
function derOf({ tag, value }: ASN1Obj): Buffer {
  return new ASN1Obj(tag, value, []).toDER();
}

/** The parser takes fractions of three digits only; authorities send other ones (RFC 3161, section 2.4.2). */
function generalizedTime({ tag, value }: ASN1Obj): Date {
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\.\d{1,9})?Z$/.exec(value.toString('latin1'));
  if (match === null || !tag.isGeneralizedTime()) throw new Error('it has no time');
  const [, year, month, day, hour, minute, second, fraction = ''] = match;
  const time = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}${fraction.slice(0, 4)}Z`);
  if (Number.isNaN(time.getTime())) throw new Error('its time is none');
  return time;
}

type Shape = Readonly<Record<string, number>>;

/** Tags by place in an answer, as far as the structure is fixed: the parser reads by place and looks at few of them. */
const ANSWER_SHAPE: Shape = {
  '': 0x30, // TimeStampResp
  '0': 0x30, // PKIStatusInfo
  '0.0': 0x02,
  '1': 0x30, // ContentInfo
  '1.1': 0xa0,
  '1.1.0': 0x30, // SignedData
  '1.1.0.0': 0x02,
  '1.1.0.1': 0x31, // DigestAlgorithmIdentifiers
  '1.1.0.2': 0x30, // EncapsulatedContentInfo
  '1.1.0.2.1': 0xa0,
  '1.1.0.2.1.0': 0x04,
};

const SIGNER_SHAPE: Shape = {
  '': 0x30,
  '0': 0x02,
  '1': 0x30, // IssuerAndSerialNumber
  '1.0': 0x30,
  '1.1': 0x02,
  '2': 0x30, // DigestAlgorithmIdentifier
  '3': 0xa0, // SignedAttributes
  '4': 0x30, // SignatureAlgorithmIdentifier
  '5': 0x04,
};

function checkShape(root: ASN1Obj, shape: Shape): void {
  const wrong = Object.entries(shape).find(([place, tag]) => at(root, place).tag.toDER() !== tag);
  if (wrong !== undefined) throw new Error(`what it has at ${wrong[0]} is something else`);
}

/** '1.0' is the first value in the second one. */
function at(root: ASN1Obj, place: string): ASN1Obj {
  let found: ASN1Obj | undefined = root;
  for (const index of place === '' ? [] : place.split('.')) found = found?.subs[Number(index)];
  if (found === undefined) throw new Error('a part of it is missing');
  return found;
}

/** The parser maps what it does not know to undefined, whatever its types say. */
function text(value: string | undefined, what: string): string {
  if (value === undefined) throw new Error(`it uses a ${what} other than SHA-256, SHA-384 and SHA-512`);
  return value;
}

function isInteger({ tag }: ASN1Obj): boolean {
  return tag.isUniversal() && tag.number === 2;
}
