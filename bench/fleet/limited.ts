// A program with the memory of a container: V8 takes what it finds to be there, so that without a limit a figure says nothing
// of a pod. https://docs.kernel.org/admin-guide/cgroup-v1/memory.html and cgroup-v2.html
import { existsSync } from 'node:fs';
import { mkdir, rmdir, writeFile } from 'node:fs/promises';
import type { Scope } from '../../test/testbed/http-daemon.ts';

/** As manifests/base/controller.yaml limits it. */
export const CONTROLLER_MEBIBYTES = 512;

const FOLDER = '/sys/fs/cgroup';
const VERSION_1 = `${FOLDER}/memory`;

/** The same command with a controller's memory, in a cgroup that is removed at the scope's end: its programs have ended by then. */
export async function limited(scope: Scope, name: string): Promise<(words: readonly string[]) => readonly string[]> {
  const [parent, file] = existsSync(VERSION_1) ? [VERSION_1, 'memory.limit_in_bytes'] : [FOLDER, 'memory.max'];
  const folder = `${parent}/impound-bench-${process.pid}-${name}`;
  await mkdir(folder);
  scope.after(() => rmdir(folder));
  await writeFile(`${folder}/${file}`, String(CONTROLLER_MEBIBYTES * 1024 ** 2));
  return (words) => ['/bin/sh', '-c', `echo $$ > ${folder}/cgroup.procs && exec "$@"`, 'sh', ...words];
}
