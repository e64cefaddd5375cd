// Prints one artefact: decrypted, decompressed, and on a terminal with control characters escaped.
import {
  type AgeIdentities,
  ageDecrypt,
  ENCRYPTED,
  ImpoundError,
  isBundlePath,
  MAX_CONTENT_BYTES,
  readIdentities,
  type Store,
  zstdDecompress,
} from '../../evidence/index.ts';
import { openBundle } from '../bundle.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { CatArguments } from '../commands/cat.ts';
import { escapeText } from '../terminal/text.ts';

export async function runCat(argv: CatArguments, { stdout }: Environment): Promise<ExitCode> {
  const { store } = await openBundle(argv.bundle, argv);
  const identities = argv.identity === undefined ? undefined : await readIdentities(argv.identity);
  const path = await resolvePath(store, argv.path);
  const decoder = new TextDecoder();
  const escaping = stdout.isTTY && !argv.raw;
  for await (const chunk of argv.raw ? store.read(path) : contentOf(store, path, identities)) {
    const out = escaping ? escapeLines(decoder.decode(chunk, { stream: true })) : chunk;
    if (stdout.destroyed) break; // the reader has had enough
    if (!stdout.write(out)) await drained(stdout);
  }
  return 0;
}

/** Decrypted and decompressed; of what is damaged or cut off as much as there is, before it throws. */
async function* contentOf(
  store: Store,
  path: string,
  identities: AgeIdentities | undefined,
): AsyncGenerator<Uint8Array> {
  const encrypted = path.endsWith(ENCRYPTED);
  const plain = encrypted ? path.slice(0, -ENCRYPTED.length) : path;
  if (encrypted && identities === undefined)
    throw new ImpoundError('usage', `${path} is encrypted: give --identity FILE, or --raw for the bytes as stored`, {
      operation: 'cat',
      thing: path,
    });
  let damage: unknown;
  const untilDamage = async function* (content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      yield* content;
    } catch (error) {
      if (!(error instanceof ImpoundError && error.code === 'content-damaged')) throw error;
      damage = error;
    }
  };
  const stored = store.read(path);
  const content = identities === undefined || !encrypted ? stored : untilDamage(ageDecrypt(stored, identities, path));
  try {
    yield* plain.endsWith('.zst') ? zstdDecompress(content, MAX_CONTENT_BYTES, path) : content;
  } catch (error) {
    throw damage ?? error;
  }
  if (damage !== undefined) throw damage;
}

/** As it is named, below data/, or encrypted. Its folder is listed, so that the first version is the one that is read. */
async function resolvePath(store: Store, path: string): Promise<string> {
  const names = [path, `data/${path}`].filter(isBundlePath);
  for (const candidate of names) {
    const found = new Set<string>();
    const slash = candidate.lastIndexOf('/');
    for await (const entry of store.list(slash === -1 ? '' : candidate.slice(0, slash)))
      if (entry.path === candidate || entry.path === `${candidate}${ENCRYPTED}`) found.add(entry.path);
    if (found.has(candidate)) return candidate;
    if (found.size > 0) return `${candidate}${ENCRYPTED}`;
  }
  throw new ImpoundError('object-missing', `the bundle has no ${path}; "ls" lists what it has`, {
    operation: 'cat',
    thing: path,
  });
}

function escapeLines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.split('\t').map(escapeText).join('\t'))
    .join('\n');
}

/** Waits until more may be written, or the reader has gone. */
function drained(stdout: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stdout.off('drain', done);
      stdout.off('close', done);
      resolve();
    };
    stdout.on('drain', done);
    stdout.on('close', done);
  });
}
