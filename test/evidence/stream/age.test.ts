import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from 'age-encryption';
import fc from 'fast-check';
import { ageDecrypt } from '../../../evidence/stream/age/decrypt.ts';
import { ageEncryptor } from '../../../evidence/stream/age/encrypt.ts';
import { type AgeIdentities, readIdentities } from '../../../evidence/stream/age/identities.ts';
import { type AgeRecipient, parseRecipients } from '../../../evidence/stream/age/recipients.ts';
import { needs } from '../../helpers/component.ts';
import { fileTemporaryFolder, folderWith } from '../../helpers/temporary.ts';

const CHUNK = 65_536;
const SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 10 * 1024 * 1024];

const folder = await fileTemporaryFolder();
/** A file of one X25519 identity, what is read from it, and its recipient. */
const file = join(folder, 'identity');
const recipients = [await newIdentity(file)];
const identities = await readIdentities(file);

test('content of any size comes back, and the age program reads it', async (t) => {
  if (!needs(t, 'age')) return;
  for (const size of SIZES) {
    const content = randomBytes(size);
    const stored = await encrypted(content, recipients);
    assert.deepEqual(await decrypted(stored), content);
    const read = execFileSync('age', ['-d', '-i', file], { input: stored, maxBuffer: 2 * size + 1 });
    assert.ok(read.equals(content), `${size} bytes, read by age`);
  }
});

test('what the age program encrypted, to several recipients too, is read', async (t) => {
  if (!needs(t, 'age')) return;
  const others = await Promise.all([1, 2, 3].map((n) => newIdentity(join(folder, `other${n}`))));
  const to = [...others, ...recipients].flatMap(({ text }) => ['-r', text]);
  for (const size of SIZES) {
    const content = randomBytes(size);
    const stored = execFileSync('age', to, { input: content, maxBuffer: 2 * size + 10_000 });
    assert.ok((await decrypted(stored)).equals(content), `${size} bytes`);
  }
});

test('each of several recipients opens it, with any of the identities in a file', async (t) => {
  const other = await newIdentity(join(folder, 'several'));
  const stored = await encrypted(Buffer.from('evidence'), [...recipients, other]);
  const text = await readFile(join(folder, 'several'), 'utf8');
  const folderOfMany = await folderWith(t, { many: `# first\r\n${await generateX25519Identity()}\r\n\n${text}` });
  const many = await readIdentities(join(folderOfMany, 'many'));
  assert.equal(many.count, 2);
  for (const one of [identities, many]) assert.equal((await decrypted(stored, one)).toString(), 'evidence');
});

test('post-quantum recipients work, alone', async (t) => {
  const secret = await generateHybridIdentity();
  const text = await identityToRecipient(secret);
  const hybrid = await parseRecipients([text]);
  assert.equal(hybrid[0]?.kind, 'MLKEM768-X25519');
  const content = randomBytes(CHUNK + 1);
  const stored = await encrypted(content, hybrid);
  const keys = await folderWith(t, { pq: secret });
  assert.deepEqual(await decrypted(stored, await readIdentities(join(keys, 'pq'))), content);
  const mixed = parseRecipients([text, ...recipients.map((recipient) => recipient.text)]);
  await assert.rejects(mixed, { code: 'usage', message: /cannot be mixed/ });
});

test('content in chunks of any size is stored as the same sequence of bytes would be, and read from any chunks', async () => {
  const sizes = fc.array(fc.oneof(fc.nat(100), fc.nat(3 * CHUNK), fc.constantFrom(0, CHUNK, 2 * CHUNK)), {
    maxLength: 12,
  });
  await fc.assert(
    fc.asyncProperty(sizes, fc.integer({ min: 50, max: 3 * CHUNK }), async (parts, cut) => {
      const content = parts.map((size) => randomBytes(size));
      const stored = await encryptedChunks(content, recipients);
      for (const piece of stored.slice(1, -1)) assert.ok(piece.length >= 4 * CHUNK);
      const whole = Buffer.concat(content);
      const sealed = Math.max(1, Math.ceil(whole.length / CHUNK));
      const [header] = stored;
      const size = Buffer.concat(stored).length;
      assert.equal(size, (header?.length ?? 0) + whole.length + 16 * sealed);
      assert.ok((await gather(ageDecrypt(cutUp(Buffer.concat(stored), cut), identities, 'x'))).equals(whole));
    }),
    { numRuns: 60 },
  );
});

test('no two artefacts share a header, a nonce or a chunk', async () => {
  const content = Buffer.alloc(100);
  const stored = await Promise.all([1, 2, 3].map(() => encrypted(content, recipients)));
  for (const part of [[0, -148], [-132, -116], [-116]] as const)
    assert.equal(new Set(stored.map((one) => one.subarray(...part).toString('hex'))).size, 3);
});

test('a byte that differs anywhere is caught', async () => {
  const stored = await encrypted(Buffer.from('the evidence'), recipients);
  const macLine = stored.indexOf('\n---');
  for (let index = 0; index < stored.length; index++) {
    for (const bit of [1, 128]) {
      const altered = Buffer.from(stored);
      altered[index] = (altered[index] ?? 0) ^ bit;
      const error = await decrypted(altered).then(
        () => assert.fail(`byte ${index}`),
        (error: unknown) => error,
      );
      // an altered stanza is one to somebody else: nothing in the format tells them apart
      const code = error instanceof Error && 'code' in error ? error.code : error;
      if (code !== 'key-unsuitable' || index > macLine) assert.equal(code, 'content-damaged', `byte ${index}`);
    }
  }
});

test('content cut off at any point gives the chunks before, then content-damaged; so does what was added', async () => {
  const content = randomBytes(6 * CHUNK + 100);
  const [header = Buffer.alloc(0), ...rest] = await encryptedChunks([content], recipients);
  const stored = Buffer.concat([header, ...rest]);
  const sealed = CHUNK + 16;
  for (const whole of [0, 1, 3, 5, 6]) {
    for (const more of [0, 1, 16, 50]) {
      const { read, error } = await readAsFar(stored.subarray(0, header.length + whole * sealed + more));
      assert.deepEqual(error, 'content-damaged');
      assert.ok(read.equals(content.subarray(0, whole * CHUNK)), `${whole} chunks and ${more} bytes`);
    }
  }
  for (const cut of [0, 1, 21, 22, header.length - 17, header.length - 1])
    assert.deepEqual(await readAsFar(stored.subarray(0, cut)), { read: Buffer.alloc(0), error: 'content-damaged' });
  for (const added of [1, 16, sealed])
    assert.equal((await readAsFar(Buffer.concat([stored, randomBytes(added)]))).error, 'content-damaged');
  const full = await encrypted(content.subarray(0, CHUNK), recipients);
  const more = decrypted(Buffer.concat([full, Buffer.alloc(1)]));
  await assert.rejects(more, { code: 'content-damaged', message: /behind its end, after 65536 bytes/ });
});

test('chunks exchanged, repeated or left out are content-damaged, after those before', async () => {
  const content = randomBytes(4 * CHUNK);
  const [header = Buffer.alloc(0), ...rest] = await encryptedChunks([content], recipients);
  const sealed = Buffer.concat(rest);
  const chunk = (n: number): Buffer => sealed.subarray(n * (CHUNK + 16), (n + 1) * (CHUNK + 16));
  for (const order of [
    [0, 2, 1, 3],
    [0, 0, 1, 2, 3],
    [0, 2, 3],
    [0, 3],
  ]) {
    const { read, error } = await readAsFar(Buffer.concat([header, ...order.map(chunk)]));
    assert.equal(error, 'content-damaged');
    assert.ok(read.equals(content.subarray(0, CHUNK)));
  }
});

test('content for others, or with a passphrase, is key-unsuitable and says what to do', async (t) => {
  const other = await newIdentity(join(folder, 'other'));
  const stored = await encrypted(Buffer.from('x'), [other]);
  await assert.rejects(decrypted(stored), { code: 'key-unsuitable', message: /give the file of one/ });
  if (!needs(t, 'age')) return;
  // age asks for a passphrase on a terminal only; given none, it makes one up
  const locked = join(folder, 'locked.age');
  execFileSync('script', ['-qec', `age -p -o ${locked} ${file}`, '/dev/null'], { input: '\n' });
  const begun = performance.now();
  await assert.rejects(decrypted(await readFile(locked)), {
    code: 'key-unsuitable',
    message: /passphrase/,
  });
  assert.ok(performance.now() - begun < 500, 'no passphrase was tried');
});

test('a header without end, or of too many stanzas, is read no further', async () => {
  const line = 'age-encryption.org/v1\n';
  const stanza = `-> X25519 ${'A'.repeat(43)}\n${'A'.repeat(43)}\n`;
  let given = 0;
  async function* endless(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(line);
    for (; ; given += stanza.length) yield Buffer.from(stanza);
  }
  await assert.rejects(gather(ageDecrypt(endless(), identities, 'x')), { code: 'content-damaged' });
  assert.ok(given <= CHUNK);
  const many = `${line}${stanza.repeat(101)}--- ${'A'.repeat(43)}\n${'-'.repeat(50)}`;
  await assert.rejects(decrypted(Buffer.from(many)), { code: 'content-damaged', message: /101 recipients/ });
  for (const noAge of ['', 'age', '-----BEGIN AGE ENCRYPTED FILE-----\n', `${line}--- \n${'-'.repeat(50)}`])
    await assert.rejects(decrypted(Buffer.from(noAge)), { code: 'content-damaged' });
});

test('recipients that cannot be used are named, a secret among them is not', async () => {
  const text = recipients[0]?.text ?? '';
  const again = await parseRecipients([text, ` ${text}\n`]);
  assert.deepEqual(again, recipients);
  const refused = [
    [text.replace(/.$/, (last) => (last === 'q' ? 'p' : 'q')), /"age1[a-z0-9]{20}…" is mistyped/],
    ['ssh-ed25519 AAAA', /"ssh-ed25519 AAAA" is not an age recipient/],
    ['age1yubikey1qqqq', /plugin/],
    ['', /"" is not/],
    // the point 0, with a right checksum: encrypting to it gives a key that everybody knows
    ['age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z', /mistyped/],
  ] as const;
  for (const [bad, message] of refused) await assert.rejects(parseRecipients([text, bad]), { code: 'usage', message });
  const secret = await generateX25519Identity();
  for (const bad of [secret, secret.toLowerCase()])
    await assert.rejects(parseRecipients([bad]), (error) => !inspect(error).includes(bad.slice(20, 40)));
  await assert.rejects(parseRecipients([]), { code: 'usage' });
});

test('identity files that cannot be used say why, and never the secret', async (t) => {
  const secret = await generateX25519Identity();
  const files = {
    mistyped: `# mine\n${secret.slice(0, -1)}`,
    lower: secret.toLowerCase(),
    empty: '# nothing\n',
    encrypted: 'age-encryption.org/v1\n-> scrypt\n',
    ssh: '-----BEGIN OPENSSH PRIVATE KEY-----\n',
    plugin: 'AGE-PLUGIN-YUBIKEY-1QQQ',
    recipient: recipients[0]?.text ?? '',
    large: `${secret}\n${'#'.repeat(CHUNK)}`,
    many: `${secret}\n`.repeat(101),
  };
  const bad = await folderWith(t, files);
  for (const name of Object.keys(files))
    await assert.rejects(readIdentities(join(bad, name)), (error) => {
      assert.equal(error instanceof Error && 'code' in error && error.code, 'key-unsuitable', name);
      const shown = inspect(error, { depth: null, showHidden: true }).toUpperCase();
      return !shown.includes(secret.slice(20, 40));
    });
  await assert.rejects(readIdentities(join(bad, 'mistyped')), { message: /^line 2 of / });
  for (const name of ['absent', '.']) await assert.rejects(readIdentities(join(bad, name)), { code: 'key-unreadable' });
  const text = await readFile(file, 'utf8');
  const shown = `${inspect(identities, { depth: null, showHidden: true })}${JSON.stringify(identities)}`;
  assert.ok(!shown.includes(text.trim()));
});

test('nothing is written past the end', async () => {
  const encryptor = await ageEncryptor(recipients);
  encryptor.end();
  assert.throws(() => encryptor.end(), { code: 'internal' });
  assert.throws(() => encryptor.update(Buffer.alloc(1)), { code: 'internal' });
  await assert.rejects(ageEncryptor([]), { code: 'internal' });
});

test('memory does not grow with the content', async (t) => {
  const chunk = randomBytes(1024 * 1024);
  const encryptor = await ageEncryptor(recipients);
  async function* stored(): AsyncGenerator<Uint8Array> {
    yield encryptor.header;
    for (let mebibytes = 0; mebibytes < 1024; mebibytes++) yield* encryptor.update(chunk);
    yield encryptor.end();
  }
  const before = process.memoryUsage.rss();
  let read = 0;
  let most = 0;
  for await (const content of ageDecrypt(stored(), identities, 'x')) {
    read += content.length;
    most = Math.max(most, process.memoryUsage.rss());
  }
  assert.equal(read, 1024 * chunk.length);
  t.diagnostic(`${Math.round((most - before) / 1e6)} MB for 1 GiB`);
  assert.ok(most - before < 150e6);
});

async function newIdentity(path: string): Promise<AgeRecipient> {
  const secret = await generateX25519Identity();
  await writeFile(path, `${secret}\n`);
  const [recipient] = await parseRecipients([await identityToRecipient(secret)]);
  assert.ok(recipient);
  return recipient;
}

async function encryptedChunks(content: readonly Buffer[], to: readonly AgeRecipient[]): Promise<Uint8Array[]> {
  const encryptor = await ageEncryptor(to);
  return [encryptor.header, ...content.flatMap((chunk) => encryptor.update(chunk)), encryptor.end()];
}

async function encrypted(content: Buffer, to: readonly AgeRecipient[]): Promise<Buffer> {
  return Buffer.concat(await encryptedChunks([content], to));
}

function decrypted(stored: Buffer, by: AgeIdentities = identities): Promise<Buffer> {
  return gather(ageDecrypt(cutUp(stored, 100_000), by, 'x'));
}

async function readAsFar(stored: Buffer): Promise<{ readonly read: Buffer; readonly error: unknown }> {
  const read: Uint8Array[] = [];
  try {
    for await (const chunk of ageDecrypt(cutUp(stored, 1_000_000), identities, 'x')) read.push(chunk);
    return { read: Buffer.concat(read), error: undefined };
  } catch (error) {
    return { read: Buffer.concat(read), error: error instanceof Error && 'code' in error ? error.code : error };
  }
}

async function* cutUp(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

async function gather(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const read: Uint8Array[] = [];
  for await (const chunk of stream) read.push(chunk);
  return Buffer.concat(read);
}
