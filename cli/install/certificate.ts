// X.509 certificates of an authority and of a server (RFC 5280), ECDSA P-256 with SHA-256, in DER. It only writes: whoever
// reads certificates is Node.
import { createHash, createPublicKey, type KeyObject, randomBytes, sign } from 'node:crypto';

export interface Validity {
  readonly from: Date;
  readonly until: Date;
}

/** PEM of a certificate that signs itself and servers' certificates, no further authorities. */
export function authorityCertificate(key: KeyObject, validity: Validity): string {
  const name = authorityName(key);
  return certificate({
    ...{ subject: name, publicKey: key, issuer: name, issuerKey: key, validity },
    extensions: [
      // CA, pathLenConstraint 0; keyCertSign
      extension('551d13', sequence(boolean(true), integer(Buffer.of(0))), 'critical'),
      extension('551d0f', Buffer.from('03020204', 'hex'), 'critical'),
    ],
  });
}

export interface ServerOptions {
  /** Private key of the server. */
  readonly key: KeyObject;
  /** Private key of an authority that `authorityCertificate` made. */
  readonly authorityKey: KeyObject;
  /** DNS name, 64 characters at most. */
  readonly host: string;
  readonly validity: Validity;
}

/** PEM of a certificate for a TLS server of one name. */
export function serverCertificate({ key, authorityKey, host, validity }: ServerOptions): string {
  return certificate({
    ...{ subject: host, publicKey: key, issuer: authorityName(authorityKey), issuerKey: authorityKey, validity },
    extensions: [
      // no CA; digitalSignature; serverAuth; a dNSName
      extension('551d13', sequence(), 'critical'),
      extension('551d0f', Buffer.from('03020780', 'hex'), 'critical'),
      extension('551d25', sequence(oid('2b06010505070301'))),
      extension('551d11', sequence(der(0x82, Buffer.from(host, 'ascii')))),
    ],
  });
}

/** With a part of its key's digest: two authorities that are trusted at once must not have one name. */
function authorityName(key: KeyObject): string {
  return `impound-ca ${keyIdentifier(key).toString('hex').slice(0, 8)}`;
}

interface Contents {
  readonly subject: string;
  readonly publicKey: KeyObject;
  readonly issuer: string;
  readonly issuerKey: KeyObject;
  readonly validity: Validity;
  readonly extensions: readonly Buffer[];
}

function certificate({ subject, publicKey, issuer, issuerKey, validity, extensions }: Contents): string {
  // ecdsa-with-SHA256
  const algorithm = sequence(oid('2a8648ce3d040302'));
  const identifiers = [
    extension('551d0e', der(0x04, keyIdentifier(publicKey))),
    extension('551d23', sequence(der(0x80, keyIdentifier(issuerKey)))),
  ];
  const signed = sequence(
    der(0xa0, integer(Buffer.of(2))),
    integer(serial()),
    algorithm,
    commonName(issuer),
    sequence(time(validity.from), time(validity.until)),
    commonName(subject),
    spki(publicKey),
    der(0xa3, sequence(...extensions, ...identifiers)),
  );
  const whole = sequence(signed, algorithm, bits(sign('sha256', signed, issuerKey)));
  const lines = whole.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function spki(key: KeyObject): Buffer {
  return createPublicKey(key).export({ type: 'spki', format: 'der' });
}

/** Of the point that ends the SPKI of a P-256 key (RFC 7093, section 2, method 1). */
function keyIdentifier(key: KeyObject): Buffer {
  return createHash('sha256').update(spki(key).subarray(-65)).digest().subarray(0, 20);
}

/** 127 random bits, never zero: the highest of 128 is one below the sign. */
function serial(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

/** UTCTime to the end of 2049, then GeneralizedTime (RFC 5280, 4.1.2.5). */
function time(at: Date): Buffer {
  const digits = `${at.toISOString().replace(/\D/g, '').slice(0, 14)}Z`;
  return at.getUTCFullYear() < 2050 ? der(0x17, Buffer.from(digits.slice(2))) : der(0x18, Buffer.from(digits));
}

function commonName(name: string): Buffer {
  return sequence(der(0x31, sequence(oid('550403'), der(0x0c, Buffer.from(name)))));
}

function extension(id: string, value: Buffer, critical?: 'critical'): Buffer {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), der(0x04, value));
}

const sequence = (...parts: readonly Buffer[]): Buffer => der(0x30, ...parts);
const integer = (bytes: Buffer): Buffer => der(0x02, bytes);
const boolean = (value: boolean): Buffer => der(0x01, Buffer.of(value ? 0xff : 0));
const bits = (bytes: Buffer): Buffer => der(0x03, Buffer.of(0), bytes);
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'));

/** Tag, length, contents; up to 65,535 bytes. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const prefix = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...prefix), content]);
}
