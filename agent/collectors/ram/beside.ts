// A file of the kernel as an artefact, opened before it is promised.
import { closeSync, fstatSync, readSync } from 'node:fs';
import { type Artefact, type GapReport, gap } from '../../../capture/index.ts';
import { gapOf } from '../../host/errno.ts';
import { openKernelFile } from '../../host/open.ts';

const CHUNK = 256 * 1024;
/** kallsyms has 10 to 20 MiB, BTF some 5. */
const MAX_BYTES = 256 * 1024 * 1024;

/** What looks on while a file is stored. */
export interface Onlooker {
  see(chunk: Buffer): void;
  /** The whole file was seen. */
  end(): void;
}

/** `file` is where it is read, `source` what it is called. */
export function kernelFile(file: string, source: string, path: string, onlooker?: Onlooker): Artefact | GapReport {
  try {
    const fd = openKernelFile(file);
    if (!fstatSync(fd).isFile()) {
      closeSync(fd);
      return gap('skipped', source, 'not a regular file');
    }
    let truncated: string | undefined;
    const cut = (): void => {
      truncated = `longer than ${MAX_BYTES} bytes`;
    };
    const content = contentOf(fd, cut, onlooker);
    return { kind: 'artefact', path, source, content, truncated: () => truncated };
  } catch (error) {
    return gapOf(error, source, 'absent');
  }
}

/** Says so where kallsyms shows no address: all are zero to who may not see them, kptr_restrict in proc_sys_kernel(5). */
export function addressesOf(denied: () => void): Onlooker {
  let before = '\n';
  let empty = true;
  let shown = false;
  return {
    see(chunk) {
      empty = false;
      // a line that is cut between two chunks is passed over: there are 100,000
      shown ||= /\n0*[1-9a-f][0-9a-f]* /.test(before + chunk.toString('latin1'));
      before = '';
    },
    end() {
      if (!shown && !empty) denied();
    },
  };
}

async function* contentOf(fd: number, cut: () => void, onlooker: Onlooker | undefined): AsyncGenerator<Uint8Array> {
  try {
    for (let size = 0; size < MAX_BYTES; ) {
      const chunk = Buffer.allocUnsafe(CHUNK);
      const got = readSync(fd, chunk, 0, CHUNK, null);
      if (got === 0) {
        onlooker?.end();
        return;
      }
      size += got;
      onlooker?.see(chunk.subarray(0, got));
      yield chunk.subarray(0, got);
    }
    cut();
  } finally {
    closeSync(fd);
  }
}
