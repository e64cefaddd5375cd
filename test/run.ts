// Runs every test: those that need no component at once, the others when the set-up beside them has ended.
import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const here = import.meta.dirname;

const files = (await readdir(here, { recursive: true })).filter((name) => name.endsWith('.test.ts')).sort();
const waiting: string[] = [];
const ready: string[] = [];
const known = new Map<string, Promise<boolean>>();
for (const file of files) {
  const path = join(here, file);
  ((await needsComponents(path)) ? waiting : ready).push(path);
}

const setUp = run([join(here, 'testbed/setup.ts'), ...process.argv.slice(2)]);
const first = await run(['--test', ...ready]);
const installed = await setUp;
const second = await run(['--test', '--test-concurrency=2', ...waiting]);
process.exitCode = Math.max(first, installed, second);

/** Whether a file, or what it imports of the tests' own, asks which components are there. */
function needsComponents(path: string): Promise<boolean> {
  const answer = known.get(path) ?? asks(path);
  known.set(path, answer);
  return answer;
}

async function asks(path: string): Promise<boolean> {
  if (path === join(here, 'helpers/component.ts')) return true;
  known.set(path, Promise.resolve(false)); // of a circle, while it is gone round
  const text = await readFile(path, 'utf8');
  const imports = [...text.matchAll(/from '(\.[^']+\.ts)'/g)].map(([, name = '']) => join(dirname(path), name));
  for (const name of imports) if (name.startsWith(here) && (await needsComponents(name))) return true;
  return false;
}

function run(words: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, words, { stdio: 'inherit' });
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}
