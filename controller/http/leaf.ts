// What the server's certificate says of itself: whose it is, who signed it, and whether this is its time (RFC 5280, 4.1.2).
import { X509Certificate } from 'node:crypto';

export interface Leaf {
  readonly subject: string;
  readonly issuer: string;
  readonly from: Date;
  readonly until: Date;
  /** Of its DER, as openssl prints it. */
  readonly sha256: string;
}

/** Why nobody takes a certificate today, whoever signed it. */
export type Untimely = 'certificate-expired' | 'certificate-not-yet-valid';

const SOON_MILLISECONDS = 14 * 24 * 3600_000;

/** The first certificate of a PEM text. Throws where there is none. */
export function leafOf(pem: Buffer): Leaf {
  const { subject, issuer, validFrom, validTo, fingerprint256 } = new X509Certificate(pem);
  const [from, until] = [new Date(validFrom), new Date(validTo)];
  return { subject: oneLine(subject), issuer: oneLine(issuer), from, until, sha256: fingerprint256 };
}

export function untimely({ from, until }: Leaf, now: Date): Untimely | undefined {
  if (now > until) return 'certificate-expired';
  return now < from ? 'certificate-not-yet-valid' : undefined;
}

/** In two weeks; of one that was made for weeks only, in the last quarter of its life. */
export function expiresSoon({ from, until }: Leaf, now: Date): boolean {
  const left = until.getTime() - now.getTime();
  return left < Math.min(SOON_MILLISECONDS, (until.getTime() - from.getTime()) / 4);
}

/** For a log's line. */
export function fieldsOf({ subject, issuer, from, until, sha256 }: Leaf): Readonly<Record<string, string>> {
  return { subject, issuer, validFrom: from.toISOString(), validUntil: until.toISOString(), sha256 };
}

/** Node prints each part of a name on a line of its own. */
function oneLine(name: string): string {
  return name.replace(/\n/g, ', ');
}
