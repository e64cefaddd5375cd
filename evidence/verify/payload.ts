// Question three: is every artefact there, byte for byte what the chain says, and nothing beside it?
import { describeError, ImpoundError } from '../errors.ts';
import { records } from '../format/coverage.ts';
import type { Statement } from '../format/entry.ts';
import { isBundlePath, layoutOf } from '../format/layout.ts';
import { payloadDigests } from '../format/manifest.ts';
import type { ArtefactRecord, StoredPart } from '../format/record.ts';
import type { Store } from '../store/store.ts';
import { type Sha256Stream, sha256Stream } from '../stream/hash.ts';
import { forEachBounded } from '../stream/pool.ts';
import { checkArchive, isArchive } from './archive.ts';
import { Findings } from './report.ts';

export interface PayloadOptions {
  readonly sealed: boolean;
  readonly parallel: number;
  /** Called with the bytes read since the last call. */
  readonly progress: (bytes: number) => void;
}

/** Bytes read. */
export async function checkPayload(
  store: Store,
  files: ReadonlyMap<string, number>,
  statements: readonly Statement[],
  options: PayloadOptions,
  report: Findings,
): Promise<number> {
  const artefacts = new Map(records(statements).map((record) => [record.path, record]));
  const toldByAgent = new Set(
    records(statements.filter(({ predicate }) => predicate.actor.kind === 'agent')).map(({ path }) => path),
  );
  const expected = new Map<string, string>();
  for (const { path, sha256 } of payloadDigests(statements)) {
    if (!isBundlePath(path) || layoutOf(path)?.kind !== 'payload') {
      report.add('outside-layout', path, 'the chain names an artefact outside the layout');
    } else if ((expected.get(path) ?? sha256) !== sha256) {
      report.add('payload-disputed', path, 'two entries name this artefact with different digests');
    } else {
      expected.set(path, sha256);
    }
  }
  for (const [path] of files) {
    if (layoutOf(path)?.kind !== 'payload' || expected.has(path)) continue;
    if (options.sealed) report.add('payload-added', path, 'no entry of the chain names this file');
    else report.warn('uncommitted', path, 'stored, and not named by an entry yet');
  }
  let total = 0;
  const progress = (bytes: number): void => {
    total += bytes;
    options.progress(bytes);
  };
  // the largest first, so that the last one does not run alone at the end
  const order = [...expected].sort(([a], [b]) => (files.get(b) ?? 0) - (files.get(a) ?? 0));
  await forEachBounded(order, options.parallel, async ([path, sha256]) => {
    if (!files.has(path))
      report.add('payload-missing', path, 'the chain names this file and it is not there', { expected: sha256 });
    else
      await checkFile(
        store,
        path,
        { sha256, record: artefacts.get(path), byAgent: toldByAgent.has(path) },
        progress,
        report,
      );
  });
  return total;
}

interface Expected {
  readonly sha256: string;
  readonly record: ArtefactRecord | undefined;
  /**
   * What it is said to be is a node's word, which the store has enforced as far as it can: the digest of each part, or of the
   * whole where there are none.
   */
  readonly byAgent: boolean;
}

async function checkFile(
  store: Store,
  path: string,
  expected: Expected,
  progress: (bytes: number) => void,
  report: Findings,
): Promise<void> {
  const measured = new Measured(
    store.read(path, { versionId: expected.record?.versionId }),
    expected.record?.parts ?? [],
    progress,
  );
  try {
    const archive = new Findings();
    if (expected.record !== undefined && isArchive(path)) await checkArchive(measured, expected.record, archive);
    await measured.drain();
    const [found, wrong] = [await measured.sha256(), await measured.wrongParts()];
    const isWhole = found === expected.sha256;
    const { parts = [], size } = expected.record ?? {};
    // nothing was altered since: so it was when its agent sent it
    const asSent = expected.byAgent && wrong.length === 0 && (isWhole || (parts.length > 0 && measured.size === size));
    if (!isWhole && asSent)
      report.warn('agent-untrue', path, `${UNTRUE} its digest (${found}): each part is as the store took it`);
    else if (!isWhole)
      report.add('payload-altered', path, 'its bytes are not those that were stored', {
        expected: expected.sha256,
        found,
      });
    for (const part of wrong) {
      report.add('payload-altered', path, `part ${part.number} is not as it was uploaded`, part);
    }
    for (const { code, message, expected: wanted, found: seen } of archive.findings) {
      if (asSent) report.warn('agent-untrue', path, `${UNTRUE} what is in it: ${message}`);
      else
        report.add(code, path, message, {
          ...(wanted === undefined ? {} : { expected: wanted }),
          ...(seen === undefined ? {} : { found: seen }),
        });
    }
    for (const { code, message } of archive.warnings) report.warn(code, path, message);
    for (const { message } of archive.unchecked) report.skip(path, message);
  } catch (error) {
    if (error instanceof ImpoundError && error.code === 'object-missing')
      report.add('payload-missing', path, error.message);
    else report.skip(path, describeError(error));
    measured.abandon();
  }
}

const UNTRUE = 'the agent that sent it was wrong about';

/** The file's bytes once, hashed on the way through: as a whole, and part by part where there are parts. */
class Measured implements AsyncIterable<Uint8Array> {
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #whole = sha256Stream();
  readonly #parts: readonly StoredPart[];
  readonly #progress: (bytes: number) => void;
  readonly #digests: Promise<string>[] = [];
  #part: Sha256Stream | undefined;
  #partLeft = 0;
  #failure: unknown;
  /** Bytes so far. */
  size = 0;

  constructor(bytes: AsyncIterable<Uint8Array>, parts: readonly StoredPart[], progress: (bytes: number) => void) {
    this.#iterator = bytes[Symbol.asyncIterator]();
    this.#parts = parts;
    this.#progress = progress;
  }

  /** May be left early; `drain` reads the rest. A failure of the store is kept for `drain`, whoever met it. */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return { next: () => this.#next() };
  }

  async drain(): Promise<void> {
    while ((await this.#next()).done !== true);
    if (this.#failure !== undefined) throw this.#failure;
  }

  abandon(): void {
    this.#whole.abandon();
    this.#part?.abandon();
  }

  sha256(): Promise<string> {
    return this.#whole.hex();
  }

  async wrongParts(): Promise<readonly { number: number; expected: string; found: string }[]> {
    if (this.#part !== undefined) this.#digests.push(this.#part.hex());
    const found = await Promise.all(this.#digests);
    return this.#parts.flatMap((part, index) =>
      found[index] === part.sha256
        ? []
        : [{ number: index + 1, expected: part.sha256, found: found[index] ?? 'nothing' }],
    );
  }

  async #next(): Promise<IteratorResult<Uint8Array>> {
    try {
      const result = await this.#iterator.next();
      if (result.done === true) return result;
      this.#progress(result.value.length);
      this.size += result.value.length;
      await this.#whole.update(result.value);
      if (this.#parts.length > 0) await this.#updateParts(result.value);
      return result;
    } catch (error) {
      this.#failure ??= error;
      return { done: true, value: undefined };
    }
  }

  async #updateParts(chunk: Uint8Array): Promise<void> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#partLeft === 0) {
        if (this.#part !== undefined) this.#digests.push(this.#part.hex());
        this.#part = sha256Stream();
        // bytes past the last part belong to none; the whole's digest reports them
        this.#partLeft = this.#parts[this.#digests.length]?.size ?? Number.POSITIVE_INFINITY;
      }
      const taken = rest.subarray(0, this.#partLeft);
      await this.#part?.update(taken);
      this.#partLeft -= taken.length;
      rest = rest.subarray(taken.length);
    }
  }
}
