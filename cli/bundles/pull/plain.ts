// Decrypts what was pulled into a folder of its own beside the bundle, which stays as it is on the chain.
import {
  type AgeIdentities,
  ageDecrypt,
  DirectoryStore,
  describeError,
  ImpoundError,
  sha256Stream,
} from '../../../evidence/index.ts';
import type { Trouble } from '../pull-bundle.ts';
import type { PartialFile, PullFolder } from './folder.ts';
import type { PullPlan, WantedFile } from './plan.ts';

/** What an encrypted artefact's path ends with. */
const SUFFIX = '.age';

export interface Plain {
  readonly path: string;
  readonly files: number;
  readonly troubles: readonly Trouble[];
}

/** What stands there already is taken for done: it was put there only once it was whole. */
export async function plainFiles(
  bundle: PullFolder,
  folder: PullFolder,
  plan: PullPlan,
  identities: AgeIdentities,
): Promise<Plain> {
  const troubles: Trouble[] = [];
  let files = 0;
  await folder.prepare();
  const source = new DirectoryStore({ root: bundle.path, partial: bundle.path });
  for (const file of plan.files) {
    if (!file.path.endsWith(SUFFIX)) continue;
    try {
      await decryptOne(source, folder, file, identities);
      files++;
    } catch (error) {
      const code = error instanceof ImpoundError ? error.code : undefined;
      if (code === 'store-full' || code === 'key-unsuitable') throw error;
      const kind = code === 'content-damaged' ? 'altered' : 'failed';
      troubles.push({ path: file.path, kind, message: describeError(error) });
    }
  }
  await folder.finish();
  return { path: folder.path, files, troubles };
}

async function decryptOne(
  source: DirectoryStore,
  folder: PullFolder,
  { path, record }: WantedFile,
  identities: AgeIdentities,
): Promise<void> {
  const plain = path.slice(0, -SUFFIX.length);
  const existing = await folder.existing(plain);
  if (existing !== undefined) return existing.handle.close();
  const partial = await folder.partial(plain);
  try {
    await partial.handle.truncate(0);
    const digest = await decryptInto(partial, ageDecrypt(source.read(path), identities, path));
    if (record?.plainSha256 !== undefined && digest !== record.plainSha256)
      throw new ImpoundError('content-damaged', 'what it decrypts to is not what the chain says', {
        operation: 'decrypt',
        thing: path,
      });
  } catch (error) {
    await partial.discard();
    throw error;
  }
  await partial.publish();
}

async function decryptInto({ handle }: PartialFile, content: AsyncIterable<Uint8Array>): Promise<string> {
  const digest = sha256Stream();
  let position = 0;
  try {
    for await (const chunk of content) {
      await Promise.all([digest.update(chunk), handle.write(chunk, 0, chunk.length, position)]);
      position += chunk.length;
    }
    return await digest.hex();
  } catch (error) {
    digest.abandon();
    throw error;
  }
}
