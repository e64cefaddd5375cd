// Installs one component: from Debian's packages, from PyPI into an environment of its own, or built from a Go module.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Component, cacheDirectory, goPrograms, pythonEnvironment } from './components.ts';

const APT_OPTIONS = ['-o', 'DPkg::Lock::Timeout=600', '-o', 'Acquire::Retries=3'];
const STEP_MILLISECONDS = 15 * 60_000;
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
      await run('go', ['install', '-trimpath', ...component.install.packages], env);
      return;
    }
    const environment = pythonEnvironment(this.#cache);
    await run('/usr/bin/python3', ['-m', 'venv', environment]);
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...component.install.packages];
    await run(join(environment, 'bin', 'python3'), pip);
  }
}

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<void> {
  return new Promise((resolve, reject) => {
    const quiet = { ...env, DEBIAN_FRONTEND: 'noninteractive' };
    const child = spawn(program, args, { env: quiet, stdio: ['ignore', 'pipe', 'pipe'], timeout: STEP_MILLISECONDS });
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
