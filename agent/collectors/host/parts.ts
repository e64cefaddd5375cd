// Reads small files of the host for host.json; what cannot be read is declared and left out.
import type { Host } from '../../host/host.ts';
import { readBelow, readKernelText } from '../../host/read.ts';

export interface PartReader {
  /** A file of /proc, as trimmed text. */
  proc(name: string, bound?: number): string | undefined;
  /** A file of /sys. Absence is no gap: which files there are depends on the machine. */
  sys(name: string): string | undefined;
  /** A regular file below the host's root. */
  file(path: string, bound?: number): string | undefined;
}

/** `failed` is told of everything that is there and cannot be read. */
export function reader(host: Host, failed: (error: unknown, name: string) => void): PartReader {
  const attempt = (name: string, read: () => string): string | undefined => {
    try {
      return read().trim();
    } catch (error) {
      const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      if (!absent) failed(error, name);
      return undefined;
    }
  };
  return {
    proc: (name, bound) => attempt(`/proc/${name}`, () => readKernelText(`${host.proc}/${name}`, bound)),
    sys: (name) => attempt(`/sys/${name}`, () => readKernelText(`${host.sys}/${name}`)),
    file: (path, bound = 65_536) => attempt(path, () => readBelow(host.root, path, bound).bytes.toString('utf8')),
  };
}

/** `KEY=value` lines with optional quotes, as os-release(5) has them. */
export function assignments(text: string | undefined): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of text?.split('\n') ?? []) {
    const match = /^([A-Za-z_][A-Za-z0-9_]*)=(["']?)(.*)\2$/.exec(line.trim());
    if (match?.[1] !== undefined) found[match[1]] = match[3] ?? '';
  }
  return found;
}
