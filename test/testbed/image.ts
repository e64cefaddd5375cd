// The project's own images, built of its Dockerfile by a real dockerd on a Debian made for it; kept in the cache between runs.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { buildImages, IMAGES, type ImageName, reference } from '../../manifests/image/build.ts';
import { cacheDirectory } from './components.ts';
import { startDockerd } from './dockerd.ts';
import { findProgram } from './probe.ts';

/** What `needs` is told for a test that uses them. */
export const IMAGE_COMPONENTS = ['dockerd', 'docker', 'busybox', 'debootstrap'] as const;

/** Paths of docker archives (`docker load`, `ctr images import`), each with the image "impound-agent:test" or its like. */
export type BuiltImages = Readonly<Record<ImageName, string>>;

const TAG = 'test';
const SUITE = 'bookworm';
const BASE = 'debian:made';
const ROOT = join(import.meta.dirname, '../..');
/** Evidence that `make capture` wrote among them. */
const NOT_SOURCES = /^evidence\/(local|\.partial)(\/|$)/;
const BUILD_MILLISECONDS = 15 * 60_000;
const OUTPUT_TAIL = 4000;
const KEPT = 2;
const execute = promisify(execFile);

/** What an image is called in its archive. */
export function imageReference(image: ImageName): string {
  return reference(image, TAG);
}

/** Seconds where nothing has changed since they were built, else one to three minutes. Safe to be called at once. */
export async function builtImages(): Promise<BuiltImages> {
  const there = join(cacheDirectory(), 'images', await digestOf(ROOT));
  const folder = existsSync(there) ? there : await buildUnderLock();
  const now = new Date();
  await utimes(folder, now, now);
  return Object.fromEntries(IMAGES.map((image) => [image, join(folder, `${image}.tar`)])) as BuiltImages;
}

/** In a process of its own that holds flock(1)'s lock: it is free again however that one ends. The folder. */
async function buildUnderLock(): Promise<string> {
  await mkdir(cacheDirectory(), { recursive: true });
  const words = [join(cacheDirectory(), 'images.lock'), process.execPath, import.meta.filename];
  const options = { timeout: BUILD_MILLISECONDS, maxBuffer: 64 * 1_048_576 };
  try {
    return (await execute('flock', words, options)).stdout.trim();
  } catch (error) {
    const { stderr = String(error) } = error as { readonly stderr?: string };
    throw new Error(`the images could not be built:\n${stderr.slice(-OUTPUT_TAIL)}`);
  }
}

/** Of a copy of the sources, so that all images are of the same ones, whatever is written meanwhile. */
async function build(): Promise<string> {
  const cache = join(cacheDirectory(), 'images');
  const context = await mkdtemp(join(tmpdir(), 'imp-sources-'));
  try {
    const filter = (path: string): boolean => !NOT_SOURCES.test(relative(ROOT, path));
    for (const name of await sources()) await cp(join(ROOT, name), join(context, name), { recursive: true, filter });
    const folder = join(cache, await digestOf(context));
    if (existsSync(folder)) return folder; // another run has built them meanwhile
    await buildFrom(context, folder);
    await removeOld(cache);
    return folder;
  } finally {
    await rm(context, { recursive: true, force: true });
  }
}

async function buildFrom(context: string, folder: string): Promise<void> {
  const base = await baseArchive();
  const dockerd = await startDockerd();
  const beside = `${folder}.building`;
  try {
    await dockerd.docker('import', base, BASE);
    const places = { DOCKER_HOST: `unix://${dockerd.socket}`, DOCKER_CONFIG: dockerd.directory, DOCKER_BUILDKIT: '0' };
    // the engine is older than its client's BuildKit, and has no bridge
    const words = ['--network', 'host', '--force-rm'];
    await buildImages({ images: IMAGES, base: BASE, tag: TAG, context, words, env: { ...process.env, ...places } });
    await rm(beside, { recursive: true, force: true });
    await mkdir(beside, { recursive: true });
    for (const image of IMAGES) {
      await dockerd.docker('save', '--output', join(beside, `${image}.tar`), imageReference(image));
    }
  } finally {
    await dockerd.stop();
  }
  await rename(beside, folder);
}

/** A minimal Debian, as the image of that name has it, without documentation; from where this machine takes its packages. */
async function baseArchive(): Promise<string> {
  const archive = join(cacheDirectory(), `debian-${SUITE}.tar`);
  if (existsSync(archive)) return archive;
  const debootstrap = findProgram('debootstrap');
  if (debootstrap === undefined) throw new Error('debootstrap is not installed');
  const folder = await mkdtemp(join(tmpdir(), 'imp-base-'));
  const root = join(folder, 'root');
  try {
    const sources = await aptSources();
    const mirror = sources.find(({ suite }) => suite === SUITE)?.mirror;
    if (mirror === undefined) throw new Error(`this machine's apt knows no mirror of ${SUITE}`);
    await execute(debootstrap, ['--variant=minbase', SUITE, root, mirror], { timeout: BUILD_MILLISECONDS });
    const lines = sources.map(({ mirror: url, suite }) => `deb ${url} ${suite} main\n`);
    await writeFile(join(root, 'etc/apt/sources.list'), lines.join(''));
    const left = ['var/cache/apt', 'var/lib/apt/lists', 'usr/share/man', 'usr/share/locale', 'usr/share/info'];
    const without = left.map((path) => `--exclude=./${path}/*`);
    await execute('tar', ['-C', root, '--one-file-system', ...without, '-cf', `${archive}.new`, '.']);
    await rename(`${archive}.new`, archive);
    return archive;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Where this machine takes packages of the suite, of its updates and of its security updates from. */
async function aptSources(): Promise<readonly { readonly mirror: string; readonly suite: string }[]> {
  const words = ['indextargets', '--format', '$(SITE) $(CODENAME) $(COMPONENT)', 'Created-By: Packages'];
  const { stdout } = await execute('apt-get', words);
  return stdout.split('\n').flatMap((line) => {
    const [mirror = '', suite = '', component] = line.split(' ');
    return component === 'main' && suite.startsWith(SUITE) ? [{ mirror, suite }] : [];
  });
}

/** What .dockerignore lets through and is there, and what says how it is built. */
async function sources(): Promise<readonly string[]> {
  const lines = (await readFile(join(ROOT, '.dockerignore'), 'utf8')).split('\n');
  const names = lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
  return ['Dockerfile', '.dockerignore', ...names].filter((name) => existsSync(join(ROOT, name)));
}

async function digestOf(context: string): Promise<string> {
  const files: string[] = [];
  for (const name of await sources()) {
    const path = join(context, name);
    if (!(await stat(path)).isDirectory()) files.push(path);
    else {
      const entries = await readdir(path, { recursive: true, withFileTypes: true });
      files.push(...entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)));
    }
  }
  const hash = createHash('sha256');
  for (const file of files.sort()) {
    if (NOT_SOURCES.test(relative(context, file))) continue;
    const digest = createHash('sha256')
      .update(await readFile(file))
      .digest('hex');
    hash.update(`${digest} ${relative(context, file)}\n`);
  }
  return hash.digest('hex').slice(0, 32);
}

/** Those used last stay. */
async function removeOld(cache: string): Promise<void> {
  const folders = (await readdir(cache)).map((name) => join(cache, name));
  const used = await Promise.all(folders.map(async (path) => ({ path, at: (await stat(path)).mtimeMs })));
  used.sort((a, b) => b.at - a.at);
  for (const { path } of used.slice(KEPT)) await rm(path, { recursive: true, force: true });
}

if (import.meta.main) console.log(await build());
