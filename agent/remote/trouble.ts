// Says in the log that the controller is not to be had, why, and when it is again: not each time that it is asked.
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:tls';
import { certificateCode, describeError, ImpoundError, type Logger, within } from '../../evidence/index.ts';
import { failure } from './failure.ts';

export interface TroubleOptions {
  /** Of the service. */
  readonly url: URL;
  /** PEM file of the authorities that this agent takes. */
  readonly ca: string;
  readonly log: Logger;
}

export interface Trouble {
  /** `base`: who was asked. Returns at once. */
  met(error: unknown, base: URL): void;
  /** The controller has answered. */
  over(): void;
}

const SAY_AGAIN_MILLISECONDS = 30_000;
/** Another replica takes over in a second: before, nothing needs to be said. */
const PATIENCE_MILLISECONDS = 3000;
const LOOK_MILLISECONDS = 5000;
const MAX_CERTIFICATES = 20;

export function trouble({ url, ca, log }: TroubleOptions): Trouble {
  let since: number | undefined;
  /** When each kind was said. */
  const said = new Map<string, number>();

  const say = async (error: unknown, base: URL, seconds: number): Promise<void> => {
    const told = failure(error);
    const seen = certificateCode(error) === undefined ? {} : await certificates(base, url.hostname, ca);
    const fields = { code: codeOf(told), error: describeError(told), controller: base.origin, seconds, ...seen };
    log.error('the controller cannot be asked', fields);
  };
  return {
    met(error, base) {
      const now = performance.now();
      since ??= now;
      const ofCertificate = certificateCode(error);
      const kind = ofCertificate ?? codeOf(failure(error));
      // what only a person can end is said at once
      if (ofCertificate === undefined && now - since < PATIENCE_MILLISECONDS) return;
      if (now - (said.get(kind) ?? Number.NEGATIVE_INFINITY) < SAY_AGAIN_MILLISECONDS) return;
      said.set(kind, now);
      void say(error, base, Math.round((now - since) / 1000));
    },
    over() {
      if (said.size > 0)
        log.info('the controller answers again', { seconds: Math.round((performance.now() - (since ?? 0)) / 1000) });
      since = undefined;
      said.clear();
    },
  };
}

function codeOf(error: unknown): string {
  return error instanceof ImpoundError ? error.code : 'internal';
}

/** What is shown and what is taken, for a person who compares them. Nothing is sent on that connection. */
async function certificates(base: URL, servername: string, ca: string): Promise<object> {
  const [shown, taken] = await Promise.all([
    shownBy(base, servername).catch((error: unknown) => ({ error: describeError(error) })),
    readFile(ca, 'utf8').then(namesOf, (error: unknown) => [describeError(error)]),
  ]);
  return { shown, taken };
}

async function shownBy(base: URL, servername: string): Promise<object> {
  const done = Promise.withResolvers<object>();
  const host = base.hostname.replace(/^\[|\]$/g, '');
  const socket = connect({ host, port: Number(base.port || 443), servername, rejectUnauthorized: false });
  socket.on('error', done.reject).once('secureConnect', () => {
    const { raw } = socket.getPeerCertificate();
    done.resolve(namesIn(new X509Certificate(raw)));
  });
  try {
    return await within(done.promise, LOOK_MILLISECONDS, () => {
      throw new Error('no handshake');
    });
  } finally {
    socket.destroy();
  }
}

function namesOf(pem: string): readonly object[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.slice(0, MAX_CERTIFICATES).map((block) => {
    try {
      return namesIn(new X509Certificate(block));
    } catch (error) {
      return { error: describeError(error) };
    }
  });
}

function namesIn({ subject, issuer, validFrom, validTo, fingerprint256 }: X509Certificate): object {
  const named = { subject: oneLine(subject), issuer: oneLine(issuer) };
  return { ...named, validFrom, validUntil: validTo, sha256: fingerprint256 };
}

function oneLine(name: string): string {
  return name.replace(/\n/g, ', ').slice(0, 300);
}
