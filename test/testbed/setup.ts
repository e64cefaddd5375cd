// Installs what tests need and this machine lacks: `node test/testbed/setup.ts [--soak] [COMPONENT…]`; with names, these
// alone and what brings them. Safe to run twice, also at once.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Component, cacheDirectory, components, withWhatBrings } from './components.ts';
import { Installer } from './install.ts';
import { findProgram, howToGet, isInstalled } from './probe.ts';

const words = process.argv.slice(2);
const soak = words.includes('--soak');
const named = words.filter((word) => !word.startsWith('-'));
const LOCKED = 'IMPOUND_SETUP_LOCKED';

/** Exit code: 1 under CI=true where something is missing in the end, else 0: tests skip what is not there by name. */
async function setUp(): Promise<number> {
  const wanted = named.length === 0 ? components().filter(({ soak: late }) => soak || !late) : withWhatBrings(named);
  let missing = wanted.filter((component) => !isInstalled(component));
  if (missing.length === 0) return 0;
  if (process.env[LOCKED] === undefined) {
    const code = againUnderLock();
    if (code !== undefined) return code;
  }
  const installer = new Installer();
  const failures = new Map<Component, string>();
  for (const component of missing) {
    // an earlier one, or another run that held the lock, may have brought it
    if (isInstalled(component)) continue;
    const begun = performance.now();
    console.error(`installing ${component.name}: ${component.purpose}${howLong(component)}`);
    await installer.install(component).catch((error: unknown) => {
      failures.set(component, error instanceof Error ? error.message : String(error));
    });
    console.error(`  ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  }
  missing = missing.filter((component) => !isInstalled(component));
  for (const component of missing) {
    console.error(`missing: ${component.name} (${component.purpose}). To get it: ${howToGet(component)}`);
    console.error(`  ${(failures.get(component) ?? 'it was installed, but does not run').replaceAll('\n', '\n  ')}`);
  }
  if (missing.length === 0) return 0;
  const inCi = process.env.CI === 'true';
  console.error(inCi ? 'CI=true: nothing may be missing' : 'tests that need what is missing are skipped by name');
  return inCi ? 1 : 0;
}

function howLong({ install: { kind } }: Component): string {
  return kind === 'go-module' ? ' (built from its sources, which takes some minutes)' : '';
}

/** Runs this program again under flock(1), which leaves no stale lock behind; undefined where no lock can be had. */
function againUnderLock(): number | undefined {
  const flock = findProgram('flock');
  if (flock === undefined) return undefined;
  const cache = cacheDirectory();
  try {
    mkdirSync(cache, { recursive: true });
  } catch {
    return undefined; // what needs the cache says so itself; Debian's packages do not need it
  }
  const args = [join(cache, 'setup.lock'), process.execPath, import.meta.filename, ...words];
  const { status } = spawnSync(flock, args, { stdio: 'inherit', env: { ...process.env, [LOCKED]: '1' } });
  return status === 0 || status === 1 ? status : undefined;
}

process.exitCode = await setUp();
