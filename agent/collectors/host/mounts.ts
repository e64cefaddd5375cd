// The mount table of the host's first process: proc_pid_mountinfo(5).
import type { PartReader } from './parts.ts';

const MAX_MOUNTS = 5000;
const BOUND = 8 * 1024 * 1024;

export interface Mount {
  readonly id: number;
  readonly parent: number;
  readonly device: string;
  readonly root: string;
  readonly point: string;
  readonly options: string;
  readonly type: string;
  readonly source: string;
  readonly superOptions: string;
}

/** `cut` is told how many were left out. */
export function mounts(read: PartReader, cut: (left: number) => void): readonly Mount[] {
  const text = read.proc('1/mountinfo', BOUND) ?? read.proc('self/mountinfo', BOUND) ?? '';
  const lines = text.split('\n').filter((line) => line !== '');
  if (lines.length > MAX_MOUNTS) cut(lines.length - MAX_MOUNTS);
  return lines.slice(0, MAX_MOUNTS).flatMap((line) => parseMount(line) ?? []);
}

/** Undefined where the line is none. Blanks in paths are octal escapes: `\\040`. */
export function parseMount(line: string): Mount | undefined {
  const [before = '', after] = line.split(' - ', 2);
  const [id, parent, device, root, point, options] = before.split(' ');
  const [type, source, superOptions] = after?.split(' ') ?? [];
  if (id === undefined || point === undefined || type === undefined) return undefined;
  return {
    id: Number(id),
    parent: Number(parent),
    device: device ?? '',
    root: unescapeOctal(root ?? ''),
    point: unescapeOctal(point),
    options: options ?? '',
    type,
    source: unescapeOctal(source ?? ''),
    superOptions: superOptions ?? '',
  };
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
