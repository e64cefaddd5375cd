// The token in a URL that is granted by whoever takes the bytes too: what may be PUT with it, and a MAC over that.
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Receiver } from '../uploads.ts';

/** What one PUT may bring: a whole object, or a part where `upload` and `number` are there. */
export interface GrantedPiece {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
  readonly part?: { readonly upload: string; readonly number: number };
}

export type OpenedToken =
  | { readonly kind: 'good'; readonly piece: GrantedPiece }
  | { readonly kind: 'expired' }
  | { readonly kind: 'forged' };

/** Binds tokens to their use: the secret may have others. */
const CONTEXT = 'impound upload grant 1';
/** A path has 800 characters at most. */
const MAX_TOKEN = 4096;
const TOKEN = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})$/;
const MIN_SECRET_BYTES = 32;

/** `BASE64URL(claim).BASE64URL(HMAC-SHA256)`; `expires` in Unix milliseconds. */
export function sealToken(piece: GrantedPiece, expires: number, receiver: Receiver): string {
  const claim = Buffer.from(JSON.stringify({ piece, expires })).toString('base64url');
  return `${claim}.${macOf(claim, receiver).toString('base64url')}`;
}

export function openToken(token: string, now: number, receiver: Receiver): OpenedToken {
  const [, claim = '', mac = ''] = (token.length <= MAX_TOKEN && TOKEN.exec(token)) || [];
  const given = Buffer.from(mac, 'base64url');
  const wanted = macOf(claim, receiver);
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return { kind: 'forged' };
  // its maker is known from here on
  const { piece, expires } = JSON.parse(Buffer.from(claim, 'base64url').toString()) as {
    readonly piece: GrantedPiece;
    readonly expires: number;
  };
  return now < expires ? { kind: 'good', piece } : { kind: 'expired' };
}

function macOf(claim: string, { secret, url }: Receiver): Buffer {
  if (secret.length < MIN_SECRET_BYTES) throw new Error(`a secret of ${secret.length} bytes makes no grants`);
  return createHmac('sha256', secret).update(`${CONTEXT}\n${url}\n${claim}`).digest();
}
