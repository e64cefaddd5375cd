// Numeric names in a folder: PIDs, descriptors, threads.
import { opendirSync } from 'node:fs';

const COUNTED = 1_048_576;

/**
 * The first `bound` numbers, ascending, and how many more there are (counted up to 1,048,576). Read entry by entry, so
 * that a folder of a million names is not a list of a million. Throws the system's error.
 */
export function listNumbers(
  path: string,
  bound: number,
): { readonly numbers: readonly number[]; readonly left: number } {
  const folder = opendirSync(path, { bufferSize: 256 });
  const numbers: number[] = [];
  let left = 0;
  try {
    for (let entry = folder.readSync(); entry !== null && left < COUNTED; entry = folder.readSync()) {
      if (!/^\d+$/.test(entry.name)) continue;
      if (numbers.length < bound) numbers.push(Number(entry.name));
      else left++;
    }
  } finally {
    folder.closeSync();
  }
  return { numbers: numbers.sort((a, b) => a - b), left };
}
