// Runs every test: those that need no component at once, the others when the set-up beside them has ended.
import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

const here = import.meta.dirname;

const files = (await readdir(here, { recursive: true })).filter((name) => name.endsWith('.test.ts')).sort();
const waiting: string[] = [];
const ready: string[] = [];
for (const file of files) {
  const path = join(here, file);
  const text = await readFile(path, 'utf8');
  (/from '[./]*helpers\/component\.ts'/.test(text) ? waiting : ready).push(path);
}

const setUp = run([join(here, 'testbed/setup.ts'), ...process.argv.slice(2)]);
const first = await run(['--test', ...ready]);
const installed = await setUp;
const second = await run(['--test', '--test-concurrency=2', ...waiting]);
process.exitCode = Math.max(first, installed, second);

function run(words: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, words, { stdio: 'inherit' });
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}
