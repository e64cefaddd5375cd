// Whether a time-stamp token was signed by an authority that the verifier trusts (RFC 3161, section 2.3; RFC 5280).
import { createHash, verify, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { X509Certificate as ParsedCertificate } from '@sigstore/core';
import { describeError, errnoOf, ImpoundError } from '../errors.ts';
import type { TimestampToken } from './timestamp-token.ts';

export type AuthorityCheck =
  | { readonly kind: 'trusted'; readonly authority: string }
  | { readonly kind: 'untrusted'; readonly why: string };

/**
 * Certificates from a PEM file: each of them is trusted as it stands, be it a root, an intermediate or the authority's
 * own. Throws `certificate-unreadable` or `certificate-unsuitable`.
 */
export async function readAuthorities(file: string): Promise<readonly X509Certificate[]> {
  let pem: string;
  try {
    pem = await readFile(file, 'latin1');
  } catch (cause) {
    const why = errnoOf(cause) ?? 'unknown error';
    throw new ImpoundError('certificate-unreadable', `cannot read the certificates ${file}: ${why}`, {
      operation: 'read certificates',
      thing: file,
      cause,
    });
  }
  try {
    const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
    if (blocks.length === 0) throw new Error('it has no certificate');
    return blocks.map((block) => new X509Certificate(block));
  } catch (cause) {
    throw new ImpoundError('certificate-unsuitable', `${file} holds no PEM certificates: ${describeError(cause)}`, {
      operation: 'read certificates',
      thing: file,
      cause,
    });
  }
}

/** Revocation is not asked for: it needs the network, and its answer of today says little of the day of the token. */
export function checkAuthority(token: TimestampToken, trusted: readonly X509Certificate[]): AuthorityCheck {
  try {
    const known = [...trusted, ...token.certificates.flatMap(certificateOf)];
    const signer = findSigner(token, known);
    checkSignature(token, signer);
    checkPurpose(signer);
    checkPath(signer, known, trusted, token.time);
    return { kind: 'trusted', authority: signer.subject.replaceAll('\n', ', ') };
  } catch (error) {
    return { kind: 'untrusted', why: describeError(error) };
  }
}

/** Throws where the token was not signed by the certificate that it carries; says nothing of whose that is. */
export function assertSigned(token: TimestampToken): void {
  checkSignature(token, findSigner(token, token.certificates.flatMap(certificateOf)));
}

const CONTENT_TYPE = '1.2.840.113549.1.9.3';
const TST_INFO = '1.2.840.113549.1.9.16.1.4';
const MESSAGE_DIGEST = '1.2.840.113549.1.9.4';
/** The signer's certificate named by its digest: SHA-1 (RFC 2634), or any (RFC 5035, SHA-256 where it does not say). */
const SIGNING_CERTIFICATE = '1.2.840.113549.1.9.16.2.12';
const SIGNING_CERTIFICATE_V2 = '1.2.840.113549.1.9.16.2.47';
const DIGESTS: Readonly<Record<string, string>> = {
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};

/** The one whose digest is among the signed attributes, so that no other certificate of the same key can stand for it. */
function findSigner({ signature }: TimestampToken, known: readonly X509Certificate[]): X509Certificate {
  const second = signature.attribute(SIGNING_CERTIFICATE_V2)?.subs[0]?.subs[0]?.subs;
  const first = signature.attribute(SIGNING_CERTIFICATE)?.subs[0]?.subs[0]?.subs;
  const named = second ?? first;
  if (named === undefined) throw new Error('it does not say which certificate signed it');
  const oid = second !== undefined && named[0]?.tag.constructed ? named[0].subs[0]?.toOID() : undefined;
  const algorithm = second === undefined ? 'sha1' : DIGESTS[oid ?? '2.16.840.1.101.3.4.2.1'];
  const digest = named.find(({ tag }) => tag.isOctetString())?.value;
  if (algorithm === undefined || digest === undefined) throw new Error('it names its certificate by an unknown digest');
  const signer = known.find(({ raw }) => createHash(algorithm).update(raw).digest().equals(digest));
  if (signer === undefined) throw new Error('the certificate that signed it is neither in it nor among those given');
  const { issuer, serialNumber } = ParsedCertificate.parse(Buffer.from(signer.raw));
  if (!issuer.equals(signature.issuer) || !serialNumber.equals(signature.serialNumber))
    throw new Error('it names two different certificates as its signer');
  return signer;
}

/** What signature algorithms go with, by OID (RFC 8017, RFC 5758); without a digest it is the signer's. */
const ALGORITHMS: Readonly<Record<string, { readonly key: string; readonly digest?: string }>> = {
  '1.2.840.113549.1.1.1': { key: 'rsa' },
  '1.2.840.113549.1.1.11': { key: 'rsa', digest: 'sha256' },
  '1.2.840.113549.1.1.12': { key: 'rsa', digest: 'sha384' },
  '1.2.840.113549.1.1.13': { key: 'rsa', digest: 'sha512' },
  '1.2.840.10045.4.3.2': { key: 'ec', digest: 'sha256' },
  '1.2.840.10045.4.3.3': { key: 'ec', digest: 'sha384' },
  '1.2.840.10045.4.3.4': { key: 'ec', digest: 'sha512' },
};

/** By node:crypto: RFC3161Timestamp.verify knows ECDSA only, and most public authorities sign with RSA. */
function checkSignature({ signature, content }: TimestampToken, { publicKey }: X509Certificate): void {
  const algorithm = ALGORITHMS[signature.algorithm];
  if (algorithm === undefined)
    throw new Error(`it is signed with an algorithm that this version cannot check (${signature.algorithm})`);
  const fits =
    algorithm.key === publicKey.asymmetricKeyType && (algorithm.digest ?? signature.digest) === signature.digest;
  const contentDigest = signature.attribute(MESSAGE_DIGEST)?.value;
  const isOverContent = contentDigest?.equals(createHash(signature.digest).update(content).digest()) === true;
  const isTstInfo = signature.attribute(CONTENT_TYPE)?.toOID() === TST_INFO;
  if (fits && isOverContent && isTstInfo && verify(signature.digest, signature.attributes, publicKey, signature.value))
    return;
  throw new Error('its signature is not over what it says');
}

const EXTENDED_KEY_USAGE = '2.5.29.37';
const TIME_STAMPING = '1.3.6.1.5.5.7.3.8';
const ANY_PURPOSE = '2.5.29.37.0';

/** node:crypto's keyUsage is the extended one. */
function checkPurpose(signer: X509Certificate): void {
  const keyUsage: readonly string[] = signer.keyUsage ?? [];
  const critical = ParsedCertificate.parse(Buffer.from(signer.raw)).extension(EXTENDED_KEY_USAGE)?.critical === true;
  if (critical && keyUsage.length === 1 && keyUsage[0] === TIME_STAMPING) return;
  throw new Error(`its signer's certificate is not one for time stamps (${signer.subject.replaceAll('\n', ', ')})`);
}

/** Nearest issuers first; each certificate is looked at once, however they sign each other. */
function checkPath(
  signer: X509Certificate,
  known: readonly X509Certificate[],
  trusted: readonly X509Certificate[],
  time: Date,
): void {
  if (!isUsable(signer, time)) throw new Error(`its signer's certificate was not valid at ${time.toISOString()}`);
  const isTrusted = ({ raw }: X509Certificate): boolean => trusted.some((one) => one.raw.equals(raw));
  const open = known.filter((one) => !one.raw.equals(signer.raw) && one.ca && isUsable(one, time));
  let level: readonly X509Certificate[] = [signer];
  for (let below = 0; level.length > 0; below++) {
    if (level.some(isTrusted)) return;
    const issuers = open.filter((issuer) => level.some((one) => isIssuedBy(one, issuer, below)));
    for (const issuer of issuers) open.splice(open.indexOf(issuer), 1);
    level = issuers;
  }
  throw new Error(`no certificate that was given vouches for its signer (${signer.subject.replaceAll('\n', ', ')})`);
}

/** `below`: certificates of authorities between this issuer and the signer. */
function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate, below: number): boolean {
  const keyUsage: readonly string[] | undefined = issuer.keyUsage;
  const mayStamp = keyUsage === undefined || keyUsage.includes(TIME_STAMPING) || keyUsage.includes(ANY_PURPOSE);
  const limit = ParsedCertificate.parse(Buffer.from(issuer.raw)).extBasicConstraints?.pathLenConstraint;
  const longEnough = limit === undefined || BigInt(below) <= limit;
  return mayStamp && longEnough && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** Basic constraints, key usage and its extension are checked, alternative names and policies ask nothing here. */
const UNDERSTOOD = new Set(['2.5.29.15', '2.5.29.17', '2.5.29.19', '2.5.29.32', EXTENDED_KEY_USAGE]);
/** MD5 and SHA-1 with RSA, SHA-1 with ECDSA: such a signature can be made for other bytes. */
const BROKEN = new Set(['1.2.840.113549.1.1.4', '1.2.840.113549.1.1.5', '1.2.840.10045.4.1']);

function isUsable(certificate: X509Certificate, time: Date): boolean {
  const parsed = ParsedCertificate.parse(Buffer.from(certificate.raw));
  const strange = parsed.extensions.some(({ subs }) => subs.length === 3 && !UNDERSTOOD.has(subs[0]?.toOID() ?? ''));
  const selfSigned = certificate.checkIssued(certificate);
  const broken = !selfSigned && BROKEN.has(certificate.signatureAlgorithmOid);
  return !strange && !broken && certificate.validFromDate <= time && time <= certificate.validToDate;
}

/** One that node:crypto cannot read is as good as not there. */
function certificateOf(der: Buffer): readonly X509Certificate[] {
  try {
    return [new X509Certificate(der)];
  } catch {
    return [];
  }
}
