// A small program that runs as root without one of root's capabilities: what a container of less privilege sees.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { temporaryFolder } from './temporary.ts';

/** A module of this repository ("agent/collectors/kernel.ts") as the program's `import … from` takes it, quoted. */
export function moduleAt(path: string): string {
  return JSON.stringify(pathToFileURL(join(import.meta.dirname, '../..', path)).href);
}

/** What `source`, an ECMAScript module, prints as JSON without `capability` ("sys_admin"). Needs root. */
export async function without(t: TestContext, capability: string, source: string): Promise<unknown> {
  const file = join(await temporaryFolder(t), 'program.mjs');
  await writeFile(file, source);
  const less = [`--bounding-set=-${capability}`, `--inh-caps=-${capability}`, process.execPath, file];
  const { status, stdout, stderr } = spawnSync('setpriv', less, { encoding: 'utf8', timeout: 60_000 });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}
