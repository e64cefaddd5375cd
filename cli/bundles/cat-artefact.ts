// Prints one artefact: decompressed, and on a terminal with control characters escaped.
import { ImpoundError, MAX_CONTENT_BYTES, zstdDecompress } from '../../evidence/index.ts';
import { openBundle } from '../bundle.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { CatArguments } from '../commands/cat.ts';
import { escapeText } from '../terminal/text.ts';

export async function runCat(argv: CatArguments, { stdout }: Environment): Promise<ExitCode> {
  const { store } = await openBundle(argv.bundle, argv);
  const path = await resolvePath(argv.path, async (candidate) => (await store.size(candidate)) !== undefined);
  const stored = store.read(path);
  const content = path.endsWith('.zst') && !argv.raw ? zstdDecompress(stored, MAX_CONTENT_BYTES, path) : stored;
  const decoder = new TextDecoder();
  const escaping = stdout.isTTY && !argv.raw;
  for await (const chunk of content) {
    const out = escaping ? escapeLines(decoder.decode(chunk, { stream: true })) : chunk;
    if (stdout.destroyed) break; // the reader has had enough
    if (!stdout.write(out)) await drained(stdout);
  }
  return 0;
}

async function resolvePath(path: string, exists: (path: string) => Promise<boolean>): Promise<string> {
  for (const candidate of [path, `data/${path}`]) if (await exists(candidate).catch(isInvalid)) return candidate;
  throw new ImpoundError('object-missing', `the bundle has no ${path}; "ls" lists what it has`, {
    operation: 'cat',
    thing: path,
  });
}

/** A path that no bundle can have is simply not there; any other failure is the store's. */
function isInvalid(error: unknown): false {
  if (error instanceof ImpoundError && error.code === 'path-invalid') return false;
  throw error;
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
