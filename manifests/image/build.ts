// Builds the images with this machine's docker (`make image`), from what this machine takes packages from.
import { execFile, spawn } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { promisify } from 'node:util';

export const IMAGES = ['controller', 'cli', 'agent'] as const;
export type ImageName = (typeof IMAGES)[number];

export interface BuildOptions {
  readonly images: readonly ImageName[];
  /** Reference of the base, best with a digest; the Dockerfile's where absent. */
  readonly base?: string | undefined;
  /** "impound-agent:TAG", "impound-controller:TAG", "impound:TAG". */
  readonly tag: string;
  /** The folder of the sources; this checkout where absent. */
  readonly context?: string;
  /** More words for `docker build`. */
  readonly words?: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

const ROOT = join(import.meta.dirname, '../..');
const RECORDS = '/usr/share/impound';
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;
/** Taken from the environment where they are set; docker keeps those of proxies out of the history by itself. */
const PASSED = ['APT_MIRROR', 'APT_SECURITY_MIRROR', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'];
const execute = promisify(execFile);

export function reference(image: ImageName, tag: string): string {
  return `${image === 'cli' ? 'impound' : `impound-${image}`}:${tag}`;
}

/** What docker prints goes to standard error. */
export async function buildImages({ images, base, tag, context = ROOT, words = [], env }: BuildOptions): Promise<void> {
  const given = await buildArguments(env);
  for (const image of images) {
    const args = Object.keys(given).flatMap((name) => ['--build-arg', name]);
    if (base !== undefined) args.push('--build-arg', `BASE=${base}`);
    const target = ['--target', image, '--tag', reference(image, tag)];
    await docker(['build', ...words, ...args, ...target, context], { ...env, ...given });
  }
}

/** By name, so that no value is in a command line: docker takes them from its environment. */
async function buildArguments(env: NodeJS.ProcessEnv): Promise<Record<string, string>> {
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { readonly version: string };
  const { revision, seconds } = await commit();
  const passed = PASSED.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]] as const]));
  const epoch = env.SOURCE_DATE_EPOCH || seconds;
  return {
    ...Object.fromEntries(passed),
    NPM_CONFIG_REGISTRY: (await execute('npm', ['config', 'get', 'registry'], { cwd: ROOT })).stdout.trim(),
    EXTRA_CA: await extraAuthorities(env.NODE_EXTRA_CA_CERTS),
    SOURCE_DATE_EPOCH: epoch,
    VERSION: version,
    REVISION: revision,
    CREATED: new Date(Number(epoch) * 1000).toISOString().replace(/\.\d+Z$/, 'Z'),
  };
}

/** Of the commit that is checked out, with "-dirty" where the files are not its. Nothing outside a checkout. */
async function commit(): Promise<{ readonly revision: string; readonly seconds: string }> {
  try {
    const git = async (...args: readonly string[]): Promise<string> =>
      (await execute('git', ['--no-optional-locks', ...args], { cwd: ROOT })).stdout.trim();
    const [revision = '', seconds = '0'] = (await git('log', '-1', '--format=%H %ct')).split(' ');
    const changed = await git('status', '--porcelain');
    return { revision: changed === '' ? revision : `${revision}-dirty`, seconds };
  } catch {
    return { revision: '', seconds: '0' }; // an archive of the sources
  }
}

/** Those of the file that Node does not bring: an argument has no room for all (128 KiB, execve(2)). */
async function extraAuthorities(file: string | undefined): Promise<string> {
  if (!file) return '';
  const plain = (pem: string): string => pem.replace(/\s/g, '');
  const known = new Set(rootCertificates.map(plain));
  const found = (await readFile(file, 'utf8')).match(CERTIFICATE) ?? [];
  return found.filter((pem) => !known.has(plain(pem))).join('\n');
}

function docker(args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('docker', args, { env, stdio: ['ignore', 2, 2] });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`docker ${args[0]} ended with ${code}`));
    });
  });
}

/** Prints a line for each image, and copies its SBOM into dist/image for `cosign attest`. */
async function report(images: readonly ImageName[], tag: string): Promise<void> {
  const folder = join(ROOT, 'dist/image');
  await mkdir(folder, { recursive: true });
  for (const image of images) {
    const name = reference(image, tag);
    const format = '{{.Id}} {{.Size}}';
    const [id, size] = (await execute('docker', ['image', 'inspect', '--format', format, name])).stdout
      .trim()
      .split(' ');
    const sbom = join(folder, `${image}.spdx.json`);
    const container = (await execute('docker', ['create', name])).stdout.trim();
    try {
      await execute('docker', ['cp', `${container}:${RECORDS}/sbom.spdx.json`, sbom]);
    } finally {
      await execute('docker', ['rm', container]);
    }
    console.log(`${name}\t${(Number(size) / 1e6).toFixed(0)} MB\t${id}`);
    console.log(`  SBOM: ${RECORDS}/sbom.spdx.json in the image, and ${sbom}`);
  }
  console.log('A digest to deploy and to sign by is given by the registry, on docker push: see docs/image.md');
}

if (import.meta.main) {
  const { BASE, TAG, WORDS = '' } = process.env;
  const tag = TAG || 'latest';
  const words = WORDS.split(' ').filter((word) => word !== '');
  await buildImages({ images: IMAGES, base: BASE || undefined, tag, words, env: process.env });
  await report(IMAGES, tag);
}
