// A real time-stamping authority for tests: openssl(1) signs, a small HTTP server answers, well or badly by its path.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after } from 'node:test';
import { promisify } from 'node:util';
import { missing } from '../helpers/component.ts';
import type { Scope } from './http-daemon.ts';

const execute = promisify(execFile);

/**
 * normal: as it should; silent: takes the question and says nothing; refusing: an answer with status rejected; replay:
 * the answer to the last question that was answered; failing: HTTP 500; huge: bytes without end; trickling: a byte now and
 * then; moved: a redirect to another host; noise: random bytes.
 */
export type Mode = 'normal' | 'silent' | 'refusing' | 'replay' | 'failing' | 'huge' | 'trickling' | 'moved' | 'noise';

export interface TimestampAuthority {
  url(mode: Mode): string;
  /** Path of a file of it: root.pem, intermediate.pem, signer.pem, signer.key. */
  file(name: string): string;
  /** Questions that came so far. */
  asked(): number;
  /** What an authority with this openssl configuration would answer. */
  reply(query: Buffer): Promise<Buffer>;
  stop(): Promise<void>;
}

export interface AuthorityOptions {
  readonly key?: 'ec' | 'rsa';
  readonly digest?: 'sha256' | 'sha512';
  /** Its own certificate ended yesterday. */
  readonly expired?: boolean;
}

/** Needs the component "openssl". */
export async function startTimestampAuthority(
  scope: Scope,
  options: AuthorityOptions = {},
): Promise<TimestampAuthority> {
  const folder = await mkdtemp('/tmp/imp-');
  const file = (name: string): string => join(folder, name);
  await makeCertificates(folder, options);
  await writeFile(file('tsa.cnf'), configuration(folder, options.digest ?? 'sha256'));
  await writeFile(file('serial'), '01\n');
  let asked = 0;
  let last: Buffer = Buffer.alloc(0);
  let waiting: Promise<unknown> = Promise.resolve();
  const reply = (query: Buffer, section: string): Promise<Buffer> => {
    const replied = waiting.then(() => replyBy(folder, query, section)); // one serial number at a time
    waiting = replied.catch(() => undefined);
    return replied;
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const query = await bodyOf(request);
    asked++;
    const mode = request.url?.slice(1);
    if (mode === 'normal') last = await reply(query, 'tsa_normal');
    if (mode === 'normal' || mode === 'replay') send(response, last);
    else if (mode === 'refusing') send(response, await reply(query, 'tsa_refusing'));
    else if (mode === 'noise') send(response, randomBytes(2000));
    else if (mode === 'failing') response.writeHead(500).end('out of order');
    else if (mode === 'moved') response.writeHead(302, { location: 'http://192.0.2.1/tsa' }).end();
    else if (mode === 'huge') await flood(response);
    else if (mode === 'trickling') trickle(response);
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    server.close();
    await waiting;
    await rm(folder, { recursive: true, force: true });
  };
  scope.after(stop);
  return {
    url: (mode) => `http://127.0.0.1:${portOf(server)}/${mode}`,
    file,
    asked: () => asked,
    reply: (query) => reply(query, 'tsa_normal'),
    stop,
  };
}

/** One that goes with its test file; undefined where "openssl" is missing. */
export async function fileAuthority(): Promise<TimestampAuthority | undefined> {
  return missing(['openssl']) === undefined ? await startTimestampAuthority({ after }) : undefined;
}

/** A root, an intermediate below it, and below that who signs time stamps. */
async function makeCertificates(folder: string, { key = 'ec', expired = false }: AuthorityOptions): Promise<void> {
  await makeCertificate(folder, 'root', { extensions: AUTHORITY, key });
  await makeCertificate(folder, 'intermediate', { issuer: 'root', extensions: `${AUTHORITY},pathlen:0`, key });
  const extensions = 'CA:FALSE\nextendedKeyUsage=critical,timeStamping';
  await makeCertificate(folder, 'signer', { issuer: 'intermediate', extensions, key, days: expired ? -1 : 30 });
}

const AUTHORITY = 'CA:TRUE';

export interface CertificateOptions {
  /** Without one it signs itself. */
  readonly issuer?: string;
  /** Value of basicConstraints, further extensions on lines after it. */
  readonly extensions: string;
  readonly key?: 'ec' | 'rsa';
  readonly days?: number;
}

/** NAME.pem and NAME.key in `folder`. */
export async function makeCertificate(
  folder: string,
  name: string,
  { issuer, extensions, key = 'ec', days = 30 }: CertificateOptions,
): Promise<void> {
  const file = (suffix: string): string => join(folder, `${name}${suffix}`);
  await writeFile(file('.ext'), `basicConstraints=critical,${extensions}\n`);
  const algorithm =
    key === 'ec'
      ? ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256']
      : ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'];
  await execute('openssl', ['genpkey', ...algorithm, '-out', file('.key')]);
  await writeFile(file('.cnf'), '[req]\ndistinguished_name=name\n[name]\n');
  await execute('openssl', [
    ...['req', '-new', '-config', file('.cnf'), '-key', file('.key')],
    ...['-subj', `/O=Impound testbed/CN=${name}`, '-out', file('.csr')],
  ]);
  const signing =
    issuer === undefined
      ? ['-signkey', file('.key')]
      : ['-CA', join(folder, `${issuer}.pem`), '-CAkey', join(folder, `${issuer}.key`), '-CAcreateserial'];
  await execute('openssl', [
    ...['x509', '-req', '-in', file('.csr'), '-sha256', '-days', String(days), '-extfile', file('.ext')],
    ...[...signing, '-out', file('.pem')],
  ]);
}

/** openssl-ts(1), section CONFIGURATION FILE OPTIONS; the refusing one takes no SHA-256. */
function configuration(folder: string, digest: string): string {
  const section = (name: string, digests: string): string => `
[${name}]
serial = ${folder}/serial
crypto_device = builtin
signer_cert = ${folder}/signer.pem
signer_key = ${folder}/signer.key
certs = ${folder}/intermediate.pem
signer_digest = ${digest}
default_policy = 1.2.3.4.1
digests = ${digests}
accuracy = secs:1
ordering = no
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
`;
  return section('tsa_normal', 'sha256, sha512') + section('tsa_refusing', 'sha512');
}

async function replyBy(folder: string, query: Buffer, section: string): Promise<Buffer> {
  const file = (name: string): string => join(folder, name);
  await writeFile(file('query.tsq'), query);
  await execute('openssl', [
    ...['ts', '-reply', '-config', file('tsa.cnf'), '-section', section],
    ...['-queryfile', file('query.tsq'), '-out', file('reply.tsr')],
  ]);
  return readFile(file('reply.tsr'));
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function send(response: ServerResponse, bytes: Buffer): void {
  response.writeHead(200, { 'content-type': 'application/timestamp-reply' }).end(bytes);
}

async function flood(response: ServerResponse): Promise<void> {
  response.writeHead(200);
  const block = Buffer.alloc(64 * 1024, 0x30);
  const blocks = (function* () {
    while (true) yield block;
  })();
  await pipeline(Readable.from(blocks), response);
}

function trickle(response: ServerResponse): void {
  response.writeHead(200);
  const timer = setInterval(() => response.write('0'), 50);
  response.on('close', () => clearInterval(timer));
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the authority listens nowhere');
  return address.port;
}
