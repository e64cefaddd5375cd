// A machine whose kernel says what a test wants, in files below a temporary folder, and what the collector made of it.
import { copyFileSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Host, hostAt } from '../../agent/host/host.ts';
import { type Collected, rowsOf } from './collect.ts';
import { folderWith } from './temporary.ts';

export type Impound = Record<string, unknown>;

/** A machine's /proc, /sys and /dev in a temporary folder: text by path; each path ends up below the root. */
export async function machine(t: TestContext, files: Readonly<Record<string, string>>): Promise<Host> {
  const root = await folderWith(t, files);
  for (const directory of ['proc/sys/kernel', 'sys/module', 'sys/fs/bpf', 'sys/fs/pstore'])
    mkdirSync(join(root, directory), { recursive: true });
  return hostAt(root);
}

export function copyFixture(host: Host, name: string, path: string): void {
  mkdirSync(dirname(join(host.root, path)), { recursive: true });
  copyFileSync(new URL(`../fixtures/kernel/${name}`, import.meta.url), join(host.root, path));
}

export function impound(collected: Collected, name: string): Impound[] {
  return rowsOf(collected.artefacts.get(`50-kernel/${name}.jsonl`)).map((row) => row.impound as Impound);
}

export function gapAbout(collected: Collected, name: string): string | undefined {
  const found = collected.gaps.find((gap) => gap.name === name);
  return found === undefined ? undefined : `${found.reason}: ${found.detail}`;
}
