// Files of single packages of this Debian into a folder that becomes an image, with the libraries that they are linked with.
import { spawnSync } from 'node:child_process';
import { closeSync, lstatSync, openSync, readdirSync, readFileSync, readSync, realpathSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

export interface DebianPackage {
  readonly name: string;
  /** The only files that are taken; all where empty. */
  readonly only: readonly string[];
}

const INFO = '/var/lib/dpkg/info';
/** What a program does not need to run; licences stay. */
const LEFT_OUT = [
  /^\/usr\/share\/(man|info|locale|lintian|bash-completion|bug|menu|doc-base|perl5|zsh)(\/|$)/,
  /^\/usr\/share\/doc\/.*\/(?!copyright$)[^/]+$/,
  /^\/usr\/include(\/|$)/,
  // its group may write to it
  /^\/var\/local$/,
  /^\/usr\/lib\/[^/]+\/gconv(\/|$)/,
  /^\/etc\/(init\.d|cron\.[a-z]+|default|logrotate\.d|update-motd\.d|apparmor\.d|profile\.d|skel)(\/|$)/,
];
const SET_ID = 0o6000;
const ELF = 0x7f454c46;

/** The packages, and those that own a library which their programs, or one of `programs`, are linked with; by name. */
export async function withLibraries(
  packages: readonly DebianPackage[],
  programs: readonly string[],
): Promise<readonly DebianPackage[]> {
  const owners = ownersOfFiles();
  const found = new Map(packages.map((one) => [one.name, one]));
  let files = [...packages.flatMap(filesOf), ...programs];
  while (files.length > 0) {
    const added = new Set<string>();
    for (const library of librariesOf(files.filter(isElf))) {
      const owner = owners.get(realpathSync(library));
      if (owner === undefined) throw new Error(`${library} is of no package`);
      if (!found.has(owner)) added.add(owner);
    }
    const more = [...added].map((name) => ({ name, only: [] }));
    for (const one of more) found.set(one.name, one);
    files = more.flatMap(filesOf);
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** With their paragraph of dpkg's status under var/lib/dpkg/status.d, where scanners of images without dpkg look. */
export async function copyPackages(packages: readonly DebianPackage[], root: string): Promise<void> {
  const status = join(root, 'var/lib/dpkg/status.d');
  await mkdir(status, { recursive: true });
  const files = [...new Set(packages.flatMap((one) => [...filesOf(one), ...licenceOf(one)]))].sort();
  for (const file of files) {
    const { mode } = lstatSync(file);
    if ((mode & SET_ID) !== 0 && !lstatSync(file).isDirectory()) throw new Error(`${file} is set-user-ID`);
  }
  const parents = new Set(files.flatMap(foldersAbove));
  const names = [...parents, ...files].map((file) => `.${file}`).sort();
  const copy = 'tar -C / --no-recursion --null --verbatim-files-from -T - -c | tar -C "$1" -xp';
  const { status: code } = spawnSync('bash', ['-o', 'pipefail', '-c', copy, 'copy', root], {
    input: [...new Set(names)].map((name) => `${name}\0`).join(''),
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  if (code !== 0) throw new Error(`copying packages ended with ${code}`);
  for (const { name } of packages) await writeFile(join(status, name), output('dpkg-query', ['--status', name]));
}

/** Fields of an installed package, as dpkg-query(1) names and shows them. */
export function fieldsOf(name: string, ...fields: readonly string[]): readonly string[] {
  const format = fields.map((field) => `\${${field}}\n`).join('');
  return output('dpkg-query', ['--show', `--showformat=${format}`, name]).split('\n');
}

/** The package that owns a file, as `realpath` names it. */
export function ownersOfFiles(): ReadonlyMap<string, string> {
  const owners = new Map<string, string>();
  for (const list of readdirSync(INFO).filter((name) => name.endsWith('.list'))) {
    for (const path of listed(list)) owners.set(path, nameOf(list));
  }
  return owners;
}

/** Real paths of a package's files and links, without its folders. */
function filesOf({ name, only }: DebianPackage): readonly string[] {
  const list = readdirSync(INFO).find((file) => file.endsWith('.list') && nameOf(file) === name);
  if (list === undefined) throw new Error(`${name} is not installed`);
  const wanted = new Set(only.map(realName));
  const files = listed(list).filter((path) => wanted.size === 0 || wanted.has(path));
  if (files.length < wanted.size) throw new Error(`${name} does not have all of ${only.join(' ')}`);
  return files.filter((path) => !LEFT_OUT.some((pattern) => pattern.test(path)) && isKept(path, name));
}

/** "libc6" of "libc6:amd64.list". */
function nameOf(list: string): string {
  return basename(list, '.list').replace(/:.*$/, '');
}

function licenceOf({ name, only }: DebianPackage): readonly string[] {
  return only.length === 0 ? [] : [`/usr/share/doc/${name}/copyright`];
}

/** base-files brings the folders of a system, some of them empty: they are part of it. */
function isKept(path: string, name: string): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats !== undefined && (!stats.isDirectory() || name === 'base-files');
}

const names = new Map<string, string>();

/** Real path of the folder, and the name itself: a link is its own file. */
function realName(path: string): string {
  const folder = dirname(path);
  let real = names.get(folder);
  if (real === undefined) {
    real = realpathSync(folder);
    names.set(folder, real);
  }
  return join(real, basename(path));
}

function listed(list: string): readonly string[] {
  const paths = readFileSync(join(INFO, list), 'utf8').split('\n');
  return paths.filter((path) => path !== '' && path !== '/.' && existsAbove(path)).map(realName);
}

function existsAbove(path: string): boolean {
  return lstatSync(dirname(path), { throwIfNoEntry: false }) !== undefined;
}

function foldersAbove(path: string): readonly string[] {
  const folders: string[] = [];
  for (let folder = dirname(path); folder !== '/'; folder = dirname(folder)) folders.push(folder);
  return folders;
}

function isElf(file: string): boolean {
  if (!lstatSync(file).isFile()) return false;
  const fd = openSync(file, 'r');
  try {
    const start = Buffer.alloc(4);
    return readSync(fd, start) === 4 && start.readUInt32BE() === ELF;
  } finally {
    closeSync(fd);
  }
}

/** What is missing of a plugin is its own affair (tc's for ATM): its packages would be a suggestion only. */
function librariesOf(programs: readonly string[]): ReadonlySet<string> {
  const libraries = new Set<string>();
  // one that is linked with nothing makes ldd(1) end with 1
  const { stdout } = spawnSync('ldd', ['/bin/true', ...programs], { encoding: 'utf8', maxBuffer: 64 * 1_048_576 });
  let program = '';
  for (const line of stdout.split('\n')) {
    const [, path] = /(?:^|\s)(\/\S+) \(0x[0-9a-f]+\)$/.exec(line) ?? [];
    if (path !== undefined) libraries.add(path);
    else if (line.startsWith('/')) program = line.replace(/:$/, '');
    else if (line.includes('not found') && /\/s?bin\//.test(program)) throw new Error(`${program}: ${line.trim()}`);
  }
  return libraries;
}

function output(program: string, args: readonly string[]): string {
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}`);
  return stdout;
}
