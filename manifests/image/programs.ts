// Which programs the agent's image brings: of which package, in which version, with which digest.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { join, relative } from 'node:path';
import { PROGRAMS } from '../../agent/programs/list.ts';
import { type DebianPackage, fieldsOf, ownersOfFiles } from './debian.ts';

/** An entry of /usr/share/impound/programs.json. */
export interface RecordedProgram {
  readonly name: string;
  /** Where the agent finds it. */
  readonly path: string;
  /** Debian's package, and its version. */
  readonly package: string;
  readonly packageVersion: string;
  /** The first line that it prints when asked; empty where asking would already talk to the kernel. */
  readonly version: string;
  /** Hexadecimal, of the file that is run. */
  readonly sha256: string;
}

const FOLDERS = ['usr/sbin', 'usr/bin'];

/** `root` has the files of `packages`; versions are asked for later, where each program has the libraries that it will have. */
export function recordPrograms(root: string, packages: readonly DebianPackage[]): readonly RecordedProgram[] {
  const owners = ownersOfFiles();
  return PROGRAMS.map(({ name }) => {
    const folder = FOLDERS.find((one) => existsSync(join(root, one, name)));
    if (folder === undefined) throw new Error(`${name} is in no package of the image`);
    const path = join('/', folder, name);
    const file = realpathSync(join(root, path));
    const owner = owners.get(join('/', relative(root, file)));
    if (owner === undefined || !packages.some((one) => one.name === owner)) throw new Error(`${path} is of no package`);
    return {
      name,
      path,
      package: owner,
      packageVersion: fieldsOf(owner, 'Version')[0] ?? '',
      version: '',
      sha256: createHash('sha256').update(readFileSync(file)).digest('hex'),
    };
  });
}
