// Installs one component: from Debian's packages, from PyPI into an environment of its own, or built from Go modules.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Component,
  cacheDirectory,
  goCompiler,
  goPrograms,
  type Install,
  KUBERNETES,
  pythonEnvironment,
} from './components.ts';

const APT_OPTIONS = ['-o', 'DPkg::Lock::Timeout=600', '-o', 'Acquire::Retries=3'];
const STEP_MILLISECONDS = 40 * 60_000;
const OUTPUT_TAIL = 2000;

/** Installs components one by one; package lists are fetched once, when the first Debian package is needed. */
export class Installer {
  readonly #cache = cacheDirectory();
  #lists: Promise<void> | undefined;

  async install(component: Component): Promise<void> {
    if (component.install.kind === 'debian') {
      if (process.getuid?.() !== 0) throw new Error('installing a Debian package needs root');
      this.#lists ??= run('apt-get', [...APT_OPTIONS, 'update']);
      await this.#lists;
      await run('apt-get', [...APT_OPTIONS, 'install', '-y', '--no-install-recommends', ...component.install.packages]);
      return;
    }
    mkdirSync(this.#cache, { recursive: true });
    if (component.install.kind === 'go') {
      const env = { ...process.env, GOBIN: goPrograms(this.#cache), CGO_ENABLED: '0' };
      await run(goCompiler(this.#cache), ['install', '-trimpath', ...component.install.packages], { env });
      return;
    }
    if (component.install.kind === 'go-module') {
      await buildKubernetes(component.install, goCompiler(this.#cache));
      return;
    }
    const environment = pythonEnvironment(this.#cache);
    await run('/usr/bin/python3', ['-m', 'venv', environment]);
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...component.install.packages];
    await run(join(environment, 'bin', 'python3'), pip);
  }
}

/** Beside its place and moved there whole, so that a build that was cut off is begun again. */
async function buildKubernetes(
  { folder, packages, into }: Extract<Install, { kind: 'go-module' }>,
  go: string,
): Promise<void> {
  const [major, minor] = KUBERNETES.split('.');
  const versions = { gitVersion: `v${KUBERNETES}`, gitMajor: major, gitMinor: minor };
  const flags = Object.entries(versions).map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`);
  const building = `${into}.building/`;
  await rm(building, { recursive: true, force: true });
  await mkdir(building, { recursive: true });
  const args = [
    'build',
    '-trimpath',
    '-tags',
    'tools',
    '-ldflags',
    `-s -w ${flags.join(' ')}`,
    '-o',
    building,
    ...packages,
  ];
  await run(go, args, { cwd: folder, env: { ...process.env, CGO_ENABLED: '0' } });
  await rename(building, into);
}

function run(
  program: string,
  args: readonly string[],
  { env = process.env, cwd = '/' }: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Promise<void> {
  return new Promise((resolve, reject) => {
    const quiet = { ...env, DEBIAN_FRONTEND: 'noninteractive' };
    const child = spawn(program, args, {
      env: quiet,
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: STEP_MILLISECONDS,
    });
    let tail = '';
    const keep = (chunk: Buffer): void => {
      tail = (tail + chunk.toString('utf8')).slice(-OUTPUT_TAIL);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`${program} ${args.at(-1)} ended with ${code ?? signal}:\n${tail.trim()}`));
    });
  });
}
