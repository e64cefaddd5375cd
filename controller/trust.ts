// Whether agents can take this replica's certificate: asked as they would, by a handshake with the authority that they are
// given. Where they cannot, they cannot say so here.
import { readFile } from 'node:fs/promises';
import { setInterval as every } from 'node:timers/promises';
import { connect } from 'node:tls';
import { type Clock, certificateCode, describeError, errnoOf, type Logger, unlessAborted } from '../evidence/index.ts';
import { SAYS } from './http/certificate.ts';
import { fieldsOf, type Leaf, untimely } from './http/leaf.ts';

export interface Distrust {
  readonly code: 'certificate-expired' | 'certificate-not-yet-valid' | 'certificate-untrusted';
  /** With what a person must do. */
  readonly message: string;
}

export interface TrustOptions {
  /** PEM file of what agents are given; nothing is said of trust where there is none. */
  readonly authority: string;
  /** How agents call this service. */
  readonly serverName: string;
  /** Where this process reaches its own server. */
  readonly own: { readonly host: string; readonly port: number };
  readonly served: () => Leaf;
  readonly clock: Clock;
  readonly log: Logger;
  /** Each second. */
  readonly looked: (distrust: Distrust | undefined) => void;
  readonly signal: AbortSignal;
}

export interface Trust {
  /** Undefined where agents take it, and where nobody knows what they are given. */
  distrust(): Distrust | undefined;
  /** The same, and for as long as the remedy is on its way to the agents. */
  lately(): Distrust | undefined;
  readonly ended: Promise<void>;
}

/** As the manifests call it. */
const CONFIG_MAP = 'impound-ca';
const LOOK_MILLISECONDS = 1000;
const FAR_MILLISECONDS = 60_000;
const NEAR_MILLISECONDS = 3000;
const HANDSHAKE_MILLISECONDS = 5000;
/** The kubelet brings a ConfigMap's change to a node within a minute and a half, and the agent reads it after ten seconds. */
const ON_ITS_WAY_MILLISECONDS = 120_000;

export function watchTrust(options: TrustOptions): Trust {
  const { served, clock, log, looked, signal } = options;
  let untrusted: Distrust | undefined;
  /** When agents were last known not to trust it. */
  let lastUntrusted = Number.NEGATIVE_INFINITY;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let leaf = served();

  const look = async (): Promise<void> => {
    lookedAt = performance.now();
    leaf = served();
    const before = untrusted;
    untrusted = await untrustedBy(options, leaf);
    if (untrusted !== undefined) lastUntrusted = performance.now();
    if (untrusted?.message === before?.message) return;
    const { code, message } = untrusted ?? {};
    if (message !== undefined) log.error(message, { code, ...fieldsOf(leaf) });
    else log.info('agents can take the TLS certificate again', fieldsOf(leaf));
  };
  const isDue = (): boolean => {
    const pause = untrusted === undefined ? FAR_MILLISECONDS : NEAR_MILLISECONDS;
    return leaf.sha256 !== served().sha256 || performance.now() - lookedAt > pause;
  };
  const distrust = (): Distrust | undefined => {
    const code = untimely(served(), clock.now());
    return code === undefined ? untrusted : outOfTime(served(), code);
  };
  const lately = (): Distrust | undefined => {
    const isOnItsWay = performance.now() - lastUntrusted <= ON_ITS_WAY_MILLISECONDS;
    return distrust() ?? (isOnItsWay ? { code: 'certificate-untrusted', message: ON_ITS_WAY } : undefined);
  };
  const run = async (): Promise<void> => {
    try {
      for await (const _ of every(LOOK_MILLISECONDS, undefined, { signal })) {
        // one that is out of its time is not asked about; when it is not known what agents are given, nothing is said
        if (isDue() && untimely(served(), clock.now()) === undefined)
          await look().catch((error: unknown) => log.debug('trust was not looked at', { error: describeError(error) }));
        looked(distrust());
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  };
  return { distrust, lately, ended: run() };
}

const ON_ITS_WAY = `the ConfigMap ${CONFIG_MAP} has the authority of the controller's certificate now: agents read it within two minutes`;

function outOfTime({ until, from }: Leaf, code: 'certificate-expired' | 'certificate-not-yet-valid'): Distrust {
  const when = code === 'certificate-expired' ? until : from;
  const message = `the controller's certificate ${SAYS[code]} (${when.toISOString()}), so that no agent takes it: put a valid one into the Secret impound-controller-tls; it is read again by itself, and collecting goes on`;
  return { code, message };
}

/** Throws where what agents are given cannot be read. */
async function untrustedBy(options: TrustOptions, leaf: Leaf): Promise<Distrust | undefined> {
  const ca = await authority(options.authority);
  if (ca === undefined) return undefined;
  const why = await refusal(options, ca);
  if (why === undefined) return undefined;
  const what =
    why === 'ERR_TLS_CERT_ALTNAME_INVALID'
      ? `the controller's certificate is not for ${options.serverName}, as agents call it: put one that is into the Secret impound-controller-tls`
      : `the controller's certificate, issued by "${leaf.issuer}", is of no authority in the ConfigMap ${CONFIG_MAP}: put that authority's certificate there, beside those that are in use`;
  return { code: 'certificate-untrusted', message: `${what} (${why}); until then no agent takes it` };
}

async function authority(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined; // agents are given it otherwise
    throw error;
  }
}

/** OpenSSL's word for why a client would refuse; undefined where it would not. Throws where it is no certificate's fault. */
async function refusal({ own, serverName, signal }: TrustOptions, ca: string): Promise<string | undefined> {
  const done = Promise.withResolvers<string | undefined>();
  const socket = connect({ ...own, servername: serverName, ca });
  const limit = AbortSignal.any([signal, AbortSignal.timeout(HANDSHAKE_MILLISECONDS)]);
  socket.once('secureConnect', () => done.resolve(undefined));
  socket.on('error', (error) => {
    const code = certificateCode(error);
    if (code !== undefined) done.resolve(code);
    else done.reject(error);
  });
  try {
    return await unlessAborted(done.promise, limit, () => {
      throw new Error('the handshake with oneself was given up');
    });
  } finally {
    socket.destroy();
  }
}
