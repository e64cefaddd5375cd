// Age identities: the secret keys, read from a file as age-keygen writes it, that open what is encrypted to them.
import { open } from 'node:fs/promises';
import type { Identity, Stanza } from 'age-encryption';
import { errnoOf, ImpoundError } from '../../errors.ts';

/** Hundreds of identities; also a bound on what is read where a wrong file was named. */
const MAX_FILE_BYTES = 64 * 1024;
/** Each is tried on each stanza of each artefact. */
const MAX_IDENTITIES = 100;
/** Impound writes at most 32; each costs a key agreement per identity. */
const MAX_STANZAS = 100;

/** Secrets stay out of reach: what is printed or logged of this shows none. */
export interface AgeIdentities {
  readonly count: number;
  /** The file key of the whole header (with its MAC) of `thing`. Throws `key-unsuitable` or `content-damaged`. */
  fileKey(header: Uint8Array, thing: string): Promise<Uint8Array>;
}

/**
 * The identities of `file`: lines AGE-SECRET-KEY-1… or AGE-SECRET-KEY-PQ-1…, and # comments. Throws `key-unreadable`
 * or `key-unsuitable`; no message holds any of the file's text, since that may be a secret.
 */
export async function readIdentities(file: string): Promise<AgeIdentities> {
  const lines = (await readBounded(file)).split('\n').map((line) => line.trim());
  if (/^(age-encryption\.org\/|-----BEGIN AGE )/.test(lines[0] ?? ''))
    throw unsuitable(file, `${file} is encrypted itself; decrypt it first: age -d -o PLAIN ${file}`);
  if (lines[0]?.startsWith('-----BEGIN '))
    throw unsuitable(file, `${file} is a PEM or SSH key, not an age identity; "age-keygen -o FILE" makes one`);
  const { Decrypter } = await import('age-encryption');
  const texts: string[] = [];
  for (const [index, line] of lines.entries()) {
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('AGE-PLUGIN-'))
      throw unsuitable(file, `line ${index + 1} of ${file} is an identity of a plugin: decrypt with the age program`);
    if (/^age1/.test(line))
      throw unsuitable(file, `line ${index + 1} of ${file} is a recipient; decryption needs its secret key`);
    try {
      new Decrypter().addIdentity(line);
    } catch {
      // the package's message quotes the line
      throw unsuitable(file, `line ${index + 1} of ${file} is not an age identity, or is mistyped or cut off`);
    }
    texts.push(line);
  }
  if (texts.length === 0) throw unsuitable(file, `${file} holds no age identity; "age-keygen -o FILE" makes one`);
  if (texts.length > MAX_IDENTITIES)
    throw unsuitable(file, `${file} holds ${texts.length} identities; at most ${MAX_IDENTITIES} can be tried`);
  return { count: texts.length, fileKey: (header, thing) => fileKeyOf(header, texts, thing) };
}

async function fileKeyOf(header: Uint8Array, identities: readonly string[], thing: string): Promise<Uint8Array> {
  const { Decrypter } = await import('age-encryption');
  const decrypter = new Decrypter();
  // identities are asked in order until one answers: the first here bounds the work, the last is asked where none did
  const first: Identity = { unwrapFileKey: (stanzas) => assertBounded(stanzas, thing) };
  const last: Identity = { unwrapFileKey: () => noneMatches(thing) };
  decrypter.addIdentity(first);
  for (const identity of identities) decrypter.addIdentity(identity);
  decrypter.addIdentity(last);
  try {
    return await decrypter.decryptHeader(header);
  } catch (cause) {
    if (cause instanceof ImpoundError) throw cause;
    throw new ImpoundError('content-damaged', `the age header of ${thing} is malformed or was altered`, {
      operation: 'decrypt',
      thing,
      cause,
    });
  }
}

function assertBounded(stanzas: readonly Stanza[], thing: string): null {
  if (stanzas.some(({ args }) => args[0] === 'scrypt'))
    throw new ImpoundError(
      'key-unsuitable',
      `${thing} is encrypted with a passphrase, which Impound never does; open it with the age program`,
      { operation: 'decrypt', thing },
    );
  if (stanzas.length === 0 || stanzas.length > MAX_STANZAS)
    throw new ImpoundError(
      'content-damaged',
      `the age header of ${thing} names ${stanzas.length} recipients, which Impound never writes`,
      { operation: 'decrypt', thing },
    );
  return null;
}

function noneMatches(thing: string): never {
  throw new ImpoundError(
    'key-unsuitable',
    `none of the identities given opens ${thing}; give the file of one that it was encrypted to ("age-keygen -y FILE" ` +
      'prints the recipient of an identity), and if that is the one, "impound verify" tells whether the header was altered',
    { operation: 'decrypt', thing },
  );
}

/** Reads pipes too, as `--identity <(…)` gives them. */
async function readBounded(file: string): Promise<string> {
  const buffer = Buffer.alloc(MAX_FILE_BYTES + 1);
  let size = 0;
  try {
    const handle = await open(file, 'r');
    try {
      for (;;) {
        const { bytesRead } = await handle.read(buffer, size, buffer.length - size, null);
        size += bytesRead;
        if (bytesRead === 0 || size === buffer.length) break;
      }
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw new ImpoundError(
      'key-unreadable',
      `cannot read the age identity file ${file}: ${errnoOf(cause) ?? 'unknown error'}`,
      { operation: 'read identity', thing: file, cause },
    );
  }
  if (size > MAX_FILE_BYTES)
    throw unsuitable(file, `${file} is larger than ${MAX_FILE_BYTES} bytes: not an age identity file`);
  return buffer.toString('utf8', 0, size);
}

/** Without a cause: causes of this package quote secrets. */
function unsuitable(file: string, message: string): ImpoundError {
  return new ImpoundError('key-unsuitable', message, { operation: 'read identity', thing: file });
}
