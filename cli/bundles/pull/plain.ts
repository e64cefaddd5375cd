// Decrypts what was pulled into a folder of its own beside the bundle, which stays as it is on the chain.
import { join } from 'node:path';
import {
  type AgeIdentities,
  ageDecrypt,
  DirectoryStore,
  describeError,
  digestOf,
  ENCRYPTED,
  ImpoundError,
  sha256Stream,
} from '../../../evidence/index.ts';
import type { PartialFile, PullFolder } from './folder.ts';
import type { WantedFile } from './plan.ts';
import type { Trouble } from './result.ts';

export interface Plain {
  readonly path: string;
  readonly files: number;
  /** Those of them whose capture was cut off: they end where what was stored does. */
  readonly cut: readonly string[];
  readonly troubles: readonly Trouble[];
}

/** Of `files`, which lie in `bundle` as the chain says, those that are encrypted. */
export async function plainFiles(
  bundle: PullFolder,
  folder: PullFolder,
  files: readonly WantedFile[],
  identities: AgeIdentities,
): Promise<Plain> {
  const troubles: Trouble[] = [];
  const cut: string[] = [];
  let done = 0;
  const encrypted = files.filter(({ path }) => path.endsWith(ENCRYPTED));
  if (encrypted.length > 0) await folder.prepare();
  const source = new DirectoryStore({ root: bundle.path, partial: bundle.path });
  for (const file of encrypted) {
    try {
      const how = await decryptOne(source, folder, file, identities);
      if (how === 'occupied') {
        const message = `another file stands at ${join(folder.path, plainPath(file))}, and was left`;
        troubles.push({ path: file.path, kind: 'occupied', message });
      } else done++;
      if (how === 'cut') cut.push(file.path);
    } catch (error) {
      const code = error instanceof ImpoundError ? error.code : undefined;
      if (code === 'store-full') throw error;
      const kind = code === 'content-damaged' ? 'altered' : 'failed';
      troubles.push({ path: file.path, kind, message: describeError(error) });
      // nor will they open any other
      if (code === 'key-unsuitable') break;
    }
  }
  await folder.finish();
  return { path: folder.path, files: done, cut, troubles };
}

async function decryptOne(
  source: DirectoryStore,
  folder: PullFolder,
  file: WantedFile,
  identities: AgeIdentities,
): Promise<'whole' | 'cut' | 'occupied'> {
  const { path, record } = file;
  const plain = plainPath(file);
  const existing = await folder.existing(plain);
  if (existing !== undefined) {
    await existing.handle.close();
    // it was put there only once it was whole; of one that was cut off nothing tells
    const there = new DirectoryStore({ root: folder.path, partial: folder.path }).read(plain);
    const same = record?.plainSha256 === undefined || (await digestOf(there)).sha256 === record.plainSha256;
    return same ? 'whole' : 'occupied';
  }
  const partial = await folder.partial(plain);
  try {
    await partial.handle.truncate(0);
    const { sha256, damage } = await decryptInto(partial, ageDecrypt(source.read(path), identities, path));
    // what was cut off is as the chain says, and has no end
    if (damage !== undefined && !(damage.code === 'content-damaged' && isCutOff(file))) throw damage;
    if (record?.plainSha256 !== undefined && sha256 !== record.plainSha256)
      throw new ImpoundError('content-damaged', 'what it decrypts to is not what the chain says', {
        operation: 'decrypt',
        thing: path,
      });
    if (!(await partial.publish())) return 'occupied';
    return damage === undefined ? 'whole' : 'cut';
  } catch (error) {
    await partial.discard().catch(() => undefined); // published, or gone already
    throw error;
  }
}

function isCutOff({ record }: WantedFile): boolean {
  return record?.truncated !== undefined && record.plainSha256 === undefined;
}

function plainPath({ path }: WantedFile): string {
  return path.slice(0, -ENCRYPTED.length);
}

/** What could be decrypted is written, whatever ends it. */
async function decryptInto(
  partial: PartialFile,
  content: AsyncIterable<Uint8Array>,
): Promise<{ readonly sha256: string; readonly damage: ImpoundError | undefined }> {
  const digest = sha256Stream();
  let position = 0;
  let damage: ImpoundError | undefined;
  try {
    try {
      for await (const chunk of content) {
        await Promise.all([digest.update(chunk), partial.write([chunk], position)]);
        position += chunk.length;
      }
    } catch (error) {
      if (!(error instanceof ImpoundError)) throw error;
      damage = error;
    }
    return { sha256: await digest.hex(), damage };
  } finally {
    digest.abandon();
  }
}
