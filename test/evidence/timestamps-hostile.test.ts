// Tokens that somebody made or changed: never trusted, never a crash.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { requestTimestamp } from '../../evidence/custody/timestamp-request.ts';
import { verifyBundle } from '../../evidence/index.ts';
import { checkAuthority, readAuthorities } from '../../evidence/verify/timestamp-authority.ts';
import { parseTimestamp } from '../../evidence/verify/timestamp-token.ts';
import { isOver } from '../../evidence/verify/timestamps.ts';
import { makeBundle } from '../helpers/bundle.ts';
import { needs } from '../helpers/component.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { fileAuthority, type Mode, makeCertificate } from '../testbed/timestamp-authority.ts';

const execute = promisify(execFile);
const authority = await fileAuthority();
const ENTRY = Buffer.from('the bytes of an entry');

test('whatever an authority does instead of answering, it is unavailable within the deadline, and why is said', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const ways: readonly (readonly [Mode, RegExp])[] = [
    ['silent', /no answer within 1 s/],
    ['trickling', /no answer within 1 s/],
    ['refusing', /it refused: rejected: Message digest algorithm is not supported/],
    ['failing', /HTTP status 500/],
    ['huge', /more than 262144 bytes/],
    ['moved', /it points to http:\/\/192\.0\.2\.1\/tsa/],
    ['noise', /no RFC 3161 time stamp/],
  ];
  for (const [mode, reason] of ways) {
    const url = authority.url(mode);
    const begun = performance.now();
    await assert.rejects(requestTimestamp(url, ENTRY, { seconds: 1 }), (error) => {
      assert.ok(error instanceof Error && 'code' in error && error.code === 'tsa-unavailable', mode);
      assert.match(error.message, reason);
      return error.message.includes(url);
    });
    assert.ok(performance.now() - begun < 3000, mode);
  }
});

test('an answer to another question is refused, be it over other bytes or the same', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  await requestTimestamp(authority.url('normal'), ENTRY);
  const replay = authority.url('replay');
  await assert.rejects(requestTimestamp(replay, ENTRY), /answers another question/);
  await assert.rejects(requestTimestamp(replay, Buffer.from('another entry')), /over other bytes/);
});

test('who asked can stop waiting', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const signal = AbortSignal.timeout(100);
  const asked = requestTimestamp(authority.url('silent'), ENTRY, { signal, seconds: 60 });
  await assert.rejects(asked, { code: 'tsa-unavailable' });
});

/**
 * The parts of an answer that no signature is over and nothing is read from, as openssl-asn1parse(1) shows them: a status
 * of "granted" that becomes "granted with changes", the versions of CMS, the digests that SignedData says it uses, and the
 * NULL beside the signer's digest. Bytes by their place in an answer with one signer and ECDSA P-256.
 */
const WITHOUT_MEANING: readonly RegExp[] = [
  /d=2 +hl=2 l= +1 prim: INTEGER +:00/,
  /d=4 +hl=2 l= +1 prim: INTEGER +:03/,
  /d=5 +hl=2 l= +13 cons: SEQUENCE/,
  /d=6 +hl=2 l= +9 prim: OBJECT +:sha256/,
  /d=6 +hl=2 l= +0 prim: NULL/,
  /d=6 +hl=2 l= +1 prim: INTEGER +:01/,
  /d=7 +hl=2 l= +0 prim: NULL/,
];

test('no byte of a token can be changed and leave it trusted, but those that say nothing', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const { bytes } = await requestTimestamp(authority.url('normal'), ENTRY);
  const authorities = await readAuthorities(authority.file('root.pem'));
  assert.ok(isTrusted(bytes, ENTRY, authorities));
  const file = join(await temporaryFolder(t), 'answer.tsr');
  await writeFile(file, bytes);
  const { stdout } = await execute('openssl', ['asn1parse', '-inform', 'DER', '-in', file]);
  const idle = new Set(stdout.split('\n').filter(isIdle).flatMap(placesOf));
  const trusted: number[] = [];
  for (let place = 0; place < bytes.length; place++) {
    for (let bit = 1; bit < 256; bit <<= 1) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(place) ^ bit, place);
      if (isTrusted(changed, ENTRY, authorities)) trusted.push(place);
    }
  }
  assert.deepEqual(
    trusted.filter((place) => !idle.has(place)),
    [],
  );
  assert.equal(idle.size, 26);
});

function isIdle(line: string): boolean {
  return WITHOUT_MEANING.some((pattern) => pattern.test(line));
}

/** "   37:d=5  hl=2 l=  13 cons: SEQUENCE": its header, and its content where that is a value. */
function placesOf(line: string): readonly number[] {
  const [, start = 0, header = 0, length = 0] = (/^ *(\d+):d=\d+ +hl=(\d+) l= *(\d+)/.exec(line) ?? []).map(Number);
  const size = line.includes('prim:') ? header + length : header;
  return Array.from({ length: size }, (_, index) => start + index);
}

function isTrusted(bytes: Buffer, entry: Buffer, authorities: Awaited<ReturnType<typeof readAuthorities>>): boolean {
  try {
    const token = parseTimestamp(bytes);
    return token.kind === 'granted' && isOver(token, entry) && checkAuthority(token, authorities).kind === 'trusted';
  } catch (error) {
    assert.ok(error instanceof Error && 'code' in error && error.code === 'content-damaged', String(error));
    return false;
  }
}

test('a file that is no token is a finding, however it is made', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const { store, path } = await makeBundle(await temporaryFolder(t));
  const authorities = await readAuthorities(authority.file('root.pem'));
  const named = async (bytes: Buffer): Promise<void> => {
    await writeFile(join(path, 'custody/000000.tsr'), bytes);
    for (const options of [{}, { authorities }]) {
      const { verdict, findings } = await verifyBundle(store, options);
      const found = findings.map(({ code, path: file }) => [code, file]);
      assert.deepEqual([verdict, found], ['not intact', [['timestamp-altered', 'custody/000000.tsr']]]);
    }
  };
  const begun = performance.now();
  for (const tag of [0x30, 0x04, 0x24, 0xa0]) await named(nested(tag, 50_000));
  for (const unit of ['3000', '0400', '04020400']) await named(wide(Buffer.from(unit, 'hex')));
  await named(Buffer.alloc(0));
  await named(randomBytes(10 * 1024 * 1024));
  assert.ok(performance.now() - begun < 20_000);
  const { bytes } = await requestTimestamp(authority.url('normal'), ENTRY);
  await named(bytes); // over other bytes
  await named(Buffer.concat([bytes, bytes]));
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), (noise) => named(Buffer.from(noise))),
    {
      numRuns: 30,
    },
  );
});

/** A value in a value in a value. */
function nested(tag: number, depth: number): Buffer {
  const headers: Buffer[] = [];
  let length = 0;
  for (let level = 0; level < depth; level++) {
    const header = derHeader(tag, length);
    headers.push(header);
    length += header.length;
  }
  return Buffer.concat(headers.reverse());
}

function wide(unit: Buffer): Buffer {
  const body = Buffer.alloc(200_000 - (200_000 % unit.length), unit);
  return Buffer.concat([derHeader(0x30, body.length), body]);
}

function derHeader(tag: number, length: number): Buffer {
  if (length < 128) return Buffer.from([tag, length]);
  return Buffer.from([tag, 0x83, length >> 16, (length >> 8) & 255, length & 255]);
}

test('only a certificate for time stamps and nothing else may sign one', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const purposes: Readonly<Record<string, boolean>> = {
    'extendedKeyUsage=critical,timeStamping': true,
    'extendedKeyUsage=timeStamping': false,
    'extendedKeyUsage=critical,timeStamping,codeSigning': false,
    'extendedKeyUsage=critical,codeSigning': false,
    'keyUsage=digitalSignature': false,
    'extendedKeyUsage=critical,timeStamping\n1.2.3.4=critical,ASN1:NULL': false,
  };
  for (const [extension, good] of Object.entries(purposes)) {
    const folder = await temporaryFolder(t);
    await makeCertificate(folder, 'root', { extensions: 'CA:TRUE' });
    await makeCertificate(folder, 'signer', { issuer: 'root', extensions: `CA:FALSE\n${extension}` });
    const checked = await checkSigned(folder, authority.url('normal'));
    assert.equal(checked.kind, good ? 'trusted' : 'untrusted', `${extension}: ${JSON.stringify(checked)}`);
  }
});

test('a chain may not be longer than its authorities allow, nor go through who is none', async (t) => {
  if (!needs(t, 'openssl') || authority === undefined) return;
  const ways: Readonly<Record<string, boolean>> = {
    'CA:TRUE,pathlen:0': true,
    'CA:TRUE\nextendedKeyUsage=codeSigning': false,
    'CA:FALSE': false,
  };
  for (const [extensions, good] of Object.entries(ways)) {
    for (const roots of ['CA:TRUE', 'CA:TRUE,pathlen:0']) {
      const folder = await temporaryFolder(t);
      await makeCertificate(folder, 'root', { extensions: roots });
      await makeCertificate(folder, 'middle', { issuer: 'root', extensions });
      const purpose = 'CA:FALSE\nextendedKeyUsage=critical,timeStamping';
      await makeCertificate(folder, 'signer', { issuer: 'middle', extensions: purpose });
      const checked = await checkSigned(folder, authority.url('normal'), ['-certfile', join(folder, 'middle.pem')]);
      const expected = good && roots === 'CA:TRUE' ? 'trusted' : 'untrusted';
      assert.equal(checked.kind, expected, `${roots} ${extensions}: ${JSON.stringify(checked)}`);
    }
  }
});

/** The content of a real token signed anew: openssl-ts(1) does it with a proper certificate only, openssl-cms(1) with any. */
async function checkSigned(folder: string, url: string, more: readonly string[] = []) {
  const file = (name: string): string => join(folder, name);
  // asked for now, so that it is not from before the certificates
  const real = parseTimestamp((await requestTimestamp(url, ENTRY)).bytes);
  assert.ok(real.kind === 'granted');
  await writeFile(file('content'), real.content);
  await execute('openssl', [
    ...['cms', '-sign', '-binary', '-nodetach', '-cades', '-econtent_type', '1.2.840.113549.1.9.16.1.4'],
    ...['-in', file('content'), '-signer', file('signer.pem'), '-inkey', file('signer.key'), '-md', 'sha256'],
    ...[...more, '-outform', 'DER', '-out', file('signed')],
  ]);
  const body = Buffer.concat([Buffer.from('3003020100', 'hex'), await readFile(file('signed'))]);
  const token = parseTimestamp(Buffer.concat([Buffer.from([0x30, 0x82, body.length >> 8, body.length & 255]), body]));
  assert.ok(token.kind === 'granted');
  return checkAuthority(token, await readAuthorities(file('root.pem')));
}
