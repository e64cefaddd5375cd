// The self-managed authority and the controller's certificate: made once, used again, renewed in time.
import { X509Certificate } from 'node:crypto';
import type { Clock } from '../../evidence/index.ts';
import { usage } from '../usage.ts';
import { authorityCertificate, serverCertificate } from './certificate.ts';
import type { KeyFolder } from './key-folder.ts';
import {
  isSignedBy,
  keyPem,
  newKey,
  type Pair,
  pemOf,
  readCertificate,
  readPair,
  unsuitable,
  writePair,
} from './pair.ts';

const DAY = 24 * 3600 * 1000;
const AUTHORITY_DAYS = 3650;
const SERVER_DAYS = 365;
/** Nodes whose clocks are a little behind take a new certificate too. */
const EARLIER = 3600 * 1000;

const AUTHORITY = { key: 'ca.key', certificate: 'ca.crt' } as const;
/** Of the authority before: its key has nothing left to sign. */
const PREVIOUS = 'ca.previous.crt';
const SERVER = { key: 'tls.key', certificate: 'tls.crt' } as const;
const OUR_NAME = /^CN=impound-ca [0-9a-f]{8}$/;

export interface Tls {
  readonly certificate: string;
  readonly key: string;
  /** PEM of what agents trust: the authority, and the one before it. */
  readonly authorities: string;
  readonly until: Date;
  /** What was made now, for people. */
  readonly made: readonly string[];
  /** What somebody should do. */
  readonly advice: readonly string[];
}

export interface TlsOptions {
  readonly folder: KeyFolder;
  /** The server's DNS name. */
  readonly host: string;
  /** The server's certificate anew, though it would do. */
  readonly renew: boolean;
  /** A new authority. */
  readonly rotate: boolean;
  readonly clock: Clock;
}

/**
 * A new authority is trusted beside the old one first, and signs the server's certificate with the next renewal only:
 * agents hear of it before a replica shows it. Throws `key-unsuitable` where the files are not of one another, `usage` where
 * the rotation before was not gone through with.
 */
export async function selfManagedTls({ folder, host, renew, rotate, clock }: TlsOptions): Promise<Tls> {
  const now = clock.now();
  const made: string[] = [];
  const server = await readServer(folder);
  let authority = await readAuthority(folder, rotate);
  if (authority === undefined || rotate) {
    if (authority !== undefined) await retire(folder, authority.certificate, server?.certificate);
    authority = await makeAuthority(folder, now);
    made.push(`an authority (until ${day(authority.certificate.validToDate)})`);
  }
  const before = await previousAuthority(folder, authority.certificate, now);
  const trusted = [authority.certificate, ...(before === undefined ? [] : [before])];
  const fit = server !== undefined && isFit(server.certificate, trusted, host, now);
  // in the first step of a rotation only what nobody would take any more
  const due = renew || !fit || (!rotate && isDue(server.certificate, now));
  const current = due ? await makeServer(folder, authority, host, now) : server;
  if (due) made.push(`the controller's certificate (until ${day(current.certificate.validToDate)})`);
  return {
    certificate: pemOf(current.certificate),
    key: keyPem(current.key),
    authorities: trusted.map(pemOf).join(''),
    until: current.certificate.validToDate,
    made,
    advice: adviceOf(folder, { current: current.certificate, authority: authority.certificate, before, now }),
  };
}

/** `rotate`: a pair that a crash left half-changed will do, since only its certificate is used any more. */
async function readAuthority(folder: KeyFolder, rotate: boolean): Promise<Pair | undefined> {
  const pair = await readPair(folder, AUTHORITY);
  if (pair === undefined) return undefined;
  if (pair === 'half')
    throw unsuitable(folder, 'of ca.key and ca.crt one is not there: put it back, or move the other away too');
  const { key, certificate } = pair;
  if (!rotate && !certificate.checkPrivateKey(key))
    throw unsuitable(folder, 'ca.key is not the key of ca.crt: make a new authority with --rotate-ca');
  if (!certificate.ca || certificate.subject !== certificate.issuer || !OUR_NAME.test(certificate.subject))
    throw unsuitable(
      folder,
      'ca.crt is not an authority that was made here: move it and ca.key away, or see docs/install.md for certificates of another authority',
    );
  return pair;
}

/** Undefined where it trusts nobody any more, and where a crash between two files of a rotation left it the same. */
async function previousAuthority(
  folder: KeyFolder,
  authority: X509Certificate,
  now: Date,
): Promise<X509Certificate | undefined> {
  const before = await readCertificate(folder, PREVIOUS);
  const isOf = before?.fingerprint256 === authority.fingerprint256;
  return before === undefined || isOf || before.validToDate < now ? undefined : before;
}

/** Half a pair, or halves of two renewals, are made anew: nothing is lost with them. */
async function readServer(folder: KeyFolder): Promise<Pair | undefined> {
  const pair = await readPair(folder, SERVER);
  return pair === undefined || pair === 'half' || !pair.certificate.checkPrivateKey(pair.key) ? undefined : pair;
}

function isFit(certificate: X509Certificate, trusted: readonly X509Certificate[], host: string, now: Date): boolean {
  const isNamed = certificate.checkHost(host) !== undefined;
  return isNamed && certificate.validToDate > now && trusted.some((authority) => isSignedBy(certificate, authority));
}

function isDue({ validFromDate, validToDate }: X509Certificate, now: Date): boolean {
  return validToDate.getTime() - now.getTime() < (validToDate.getTime() - validFromDate.getTime()) / 3;
}

/** The one before it is trusted no longer, so no replica may show a certificate of that any more. */
async function retire(folder: KeyFolder, authority: X509Certificate, server: X509Certificate | undefined) {
  if (server !== undefined && !isSignedBy(server, authority))
    throw usage(
      "--rotate-ca: the controller's certificate is still of the authority before, which no agent would trust after this: render with --renew and apply that first",
    );
  await folder.write(PREVIOUS, pemOf(authority));
}

/** The key is written first: what a crash leaves then is put right by --rotate-ca. */
async function makeAuthority(folder: KeyFolder, now: Date): Promise<Pair> {
  const key = newKey();
  const validity = { from: earlier(now), until: new Date(now.getTime() + AUTHORITY_DAYS * DAY) };
  const pair = { key, certificate: new X509Certificate(authorityCertificate(key, validity)) };
  await writePair(folder, AUTHORITY, pair);
  return pair;
}

async function makeServer(folder: KeyFolder, authority: Pair, host: string, now: Date): Promise<Pair> {
  const { validToDate: ends } = authority.certificate;
  if (ends <= now) throw unsuitable(folder, `the authority ended on ${day(ends)}: make a new one with --rotate-ca`);
  const key = newKey();
  const until = new Date(Math.min(now.getTime() + SERVER_DAYS * DAY, ends.getTime()));
  const validity = { from: earlier(now), until };
  const certificate = new X509Certificate(serverCertificate({ key, authorityKey: authority.key, host, validity }));
  await writePair(folder, SERVER, { key, certificate });
  return { key, certificate };
}

interface Standing {
  readonly current: X509Certificate;
  readonly authority: X509Certificate;
  readonly before: X509Certificate | undefined;
  readonly now: Date;
}

function adviceOf(folder: KeyFolder, { current, authority, before, now }: Standing): readonly string[] {
  const advice: string[] = [];
  if (before !== undefined && isSignedBy(current, before))
    advice.push(
      "agents are told of a new authority beside the old one, of which the controller's certificate still is: apply this, wait two minutes for every agent to have read it, then render again with --renew and apply that",
    );
  else if (before !== undefined)
    advice.push(
      `agents still trust the authority before (until ${day(before.validToDate)}): when all replicas show the new certificate, remove ${folder.file(PREVIOUS)}, render and apply again`,
    );
  if (authority.validToDate.getTime() - now.getTime() < SERVER_DAYS * DAY)
    advice.push(`the authority ends on ${day(authority.validToDate)}: make a new one with --rotate-ca`);
  return advice;
}

const earlier = (now: Date): Date => new Date(now.getTime() - EARLIER);
const day = (at: Date): string => at.toISOString().slice(0, 10);
