// Name and version of this program, for the custody chain and bag-info.
import { readFile } from 'node:fs/promises';

/** "Impound 0.1.0"; package.json stands one level up in a checkout, two in a build. */
export async function software(): Promise<string> {
  for (const candidate of ['../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(await readFile(new URL(candidate, import.meta.url), 'utf8')) as Record<
        string,
        string
      >;
      if (name === 'impound') return `Impound ${version}`;
    } catch {
      // not at this level
    }
  }
  return 'Impound (version unknown)';
}
