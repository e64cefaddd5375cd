// Asks each recorded program for its version, within the image that it is in: `node versions.ts LIST PROGRAMS_JSON`.
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { PROGRAMS } from '../../agent/programs/list.ts';
import type { RecordedProgram } from './programs.ts';

const MILLISECONDS = 10_000;

const [list = '', file = ''] = process.argv.slice(2);
const known = (await import(pathToFileURL(list).href)) as { readonly PROGRAMS: typeof PROGRAMS };
const recorded = JSON.parse(readFileSync(file, 'utf8')) as readonly RecordedProgram[];
const whole = recorded.map((program) => {
  const { version = [] } = known.PROGRAMS.find(({ name }) => name === program.name) ?? {};
  return { ...program, version: version.length === 0 ? '' : firstLine(program.path, version) };
});
// as old as it was, so that the same programs make the same layer
const times = [file, dirname(file)].map((path) => ({ path, at: statSync(path).mtime }));
writeFileSync(file, `${JSON.stringify(whole, undefined, 1)}\n`);
for (const { path, at } of times) utimesSync(path, at, at);

function firstLine(path: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(path, args, { encoding: 'utf8', env: {}, timeout: MILLISECONDS });
  if (status !== 0) throw new Error(`${path} ${args.join(' ')} ended with ${status}: ${stderr.trim()}`);
  return stdout.split('\n')[0] ?? '';
}
