// What was built and the npm packages that it needs, without what only readers and compilers of them need.
import { cp, mkdir, readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';

export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  /** As package.json says it, an expression of SPDX mostly. */
  readonly license: string | undefined;
  /** "sha512-…" of the archive that it was taken from. */
  readonly integrity: string | undefined;
}

/** Entries of package-lock.json by their folder. */
type Locked = Readonly<
  Record<
    string,
    {
      readonly integrity?: string;
      readonly dev?: boolean;
      readonly optional?: boolean;
      readonly devOptional?: boolean;
    }
  >
>;

const NOT_RUN = /\.(map|md|markdown|flow|[cm]?ts)$/i;
const LICENCE = /licen[cs]e|copying|notice/i;
const NOT_LOADED = new Set([
  '.bin',
  '.github',
  '@types',
  'test',
  'tests',
  '__tests__',
  'docs',
  'example',
  'examples',
  'prebuilds',
]);

/** What `impound install --render` prints. */
const MANIFESTS = ['manifests/base', 'manifests/components'];

/** `built` has dist/ and the node_modules of the build: the packages that the lock file marks as the programs' are taken. */
export async function copyApplication(built: string, into: string): Promise<void> {
  await mkdir(into, { recursive: true });
  await cp(join(built, 'package.json'), join(into, 'package.json'));
  await cp(join(built, 'LICENSE'), join(into, 'LICENSE'));
  const dist = join(built, 'dist');
  await cp(dist, join(into, 'dist'), { recursive: true, filter: (path) => !path.endsWith('.map') });
  for (const folder of MANIFESTS) await cp(join(built, folder), join(into, folder), { recursive: true });
  const locked = await readLock(join(built, 'package-lock.json'));
  await cp(join(built, 'node_modules'), join(into, 'node_modules'), {
    recursive: true,
    filter: (path) => isNeeded(relative(built, path), locked),
  });
}

/** All packages below node_modules, those within others too, in order. */
export async function npmPackages(application: string, lockFile: string): Promise<readonly NpmPackage[]> {
  const locked = await readLock(lockFile);
  const found: NpmPackage[] = [];
  for (const path of (await readdir(join(application, 'node_modules'), { recursive: true })).sort()) {
    const folder = join('node_modules', dirname(path));
    if (basename(path) !== 'package.json' || !isPackage(folder)) continue;
    const read = JSON.parse(await readFile(join(application, 'node_modules', path), 'utf8')) as Record<string, unknown>;
    const { name, version, license } = read;
    if (typeof name !== 'string' || typeof version !== 'string') throw new Error(`${path} has no name or no version`);
    const integrity = locked[folder]?.integrity;
    found.push({ name, version, license: typeof license === 'string' ? license : undefined, integrity });
  }
  return found;
}

function isNeeded(path: string, locked: Locked): boolean {
  const name = basename(path);
  if (isPackage(path)) {
    const entry = locked[path];
    // an optional package does without (ssh2's faster ciphers); one that is not locked was left by an install script
    if (entry === undefined || entry.dev || entry.optional || entry.devOptional) return false;
  }
  if (name === '.package-lock.json') return false;
  // a folder within a package's code may have such a name and be loaded: only those at its top are known not to be
  if (NOT_LOADED.has(name) && (isPackage(dirname(path)) || basename(dirname(path)) === 'node_modules')) return false;
  return !NOT_RUN.test(name) || LICENCE.test(name);
}

/** "node_modules/a", "node_modules/@b/c", and the same within a package. */
function isPackage(folder: string): boolean {
  return /(^|\/)node_modules\/(@[^/]+\/)?[^/@][^/]*$/.test(folder);
}

async function readLock(file: string): Promise<Locked> {
  const { packages } = JSON.parse(await readFile(file, 'utf8')) as { readonly packages: Locked };
  return packages;
}
