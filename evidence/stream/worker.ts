// Where a worker thread's script is: beside the caller, `.ts` in a checkout and `.js` once built.
import { extname } from 'node:path';

/** URL of the script `name` (no extension) in the folder of the module whose `import.meta.url` is given. */
export function workerScript(name: string, moduleUrl: string): URL {
  return new URL(`${name}${extname(new URL(moduleUrl).pathname)}`, moduleUrl);
}
