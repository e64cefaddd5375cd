// A file of the kernel as an artefact, opened before it is promised.
import { closeSync, fstatSync, readSync } from 'node:fs';
import { type Artefact, type GapReport, gap } from '../../../capture/index.ts';
import { gapOf } from '../../host/errno.ts';
import { openKernelFile } from '../../host/open.ts';

const CHUNK = 256 * 1024;
/** kallsyms has 10 to 20 MiB, BTF some 5. */
const MAX_BYTES = 256 * 1024 * 1024;

/** `file` is where it is read, `source` what it is called. */
export function kernelFile(file: string, source: string, path: string): Artefact | GapReport {
  try {
    const fd = openKernelFile(file);
    if (!fstatSync(fd).isFile()) {
      closeSync(fd);
      return gap('skipped', source, 'not a regular file');
    }
    let truncated: string | undefined;
    const content = contentOf(fd, () => {
      truncated = `longer than ${MAX_BYTES} bytes`;
    });
    return { kind: 'artefact', path, source, content, truncated: () => truncated };
  } catch (error) {
    return gapOf(error, source, 'absent');
  }
}

async function* contentOf(fd: number, cut: () => void): AsyncGenerator<Uint8Array> {
  try {
    for (let size = 0; size < MAX_BYTES; ) {
      const chunk = Buffer.allocUnsafe(CHUNK);
      const got = readSync(fd, chunk, 0, CHUNK, null);
      if (got === 0) return;
      size += got;
      yield chunk.subarray(0, got);
    }
    cut();
  } finally {
    closeSync(fd);
  }
}
