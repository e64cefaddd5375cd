// Whether a component is there and may be used, and what a person does where it is not.
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import type { Component } from './components.ts';

/** System programs stand in sbin, which a user's path may not have. */
const SYSTEM_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const PROBE_MILLISECONDS = 20_000;

/** Undefined where the component can be used, else why not and how to get it. */
export function lacking(component: Component): string | undefined {
  if (!isInstalled(component)) return `${component.name} is missing (${component.purpose}): ${howToGet(component)}`;
  if (component.root && process.getuid?.() !== 0)
    return `${component.name} (${component.purpose}) needs root: run the tests as root`;
  return undefined;
}

export function isInstalled(component: Component): boolean {
  const file = findProgram(component.probe.program);
  if (file === undefined) return false;
  if (component.probe.args === undefined) return true;
  return spawnSync(file, component.probe.args, { stdio: 'ignore', timeout: PROBE_MILLISECONDS }).status === 0;
}

/** The program's file, or undefined. */
export function findProgram(program: string): string | undefined {
  if (program.includes('/')) return isExecutable(program) ? program : undefined;
  const folders = [...(process.env.PATH ?? '').split(':').filter((folder) => folder !== ''), ...SYSTEM_PATH];
  return folders.map((folder) => join(folder, program)).find(isExecutable);
}

export function howToGet(component: Component): string {
  const { kind, packages } = component.install;
  if (kind === 'debian') return `sudo apt-get install ${packages.join(' ')}`;
  if (kind === 'go' || kind === 'go-module') return `node test/testbed/setup.ts (it builds ${packages.join(' ')})`;
  return `node test/testbed/setup.ts, with python3-venv installed (it takes ${packages.join(' ')} from PyPI)`;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
