// Lines of a mount table, see proc_pid_mountinfo(5); text throughout is latin1: one character a byte.

/** Bytes of one table that are read at most: thousands of pods' volumes. */
export const MAX_MOUNTINFO = 8 * 1024 * 1024;

export interface MountLine {
  readonly id: string;
  /** The mount that it is in; its own id at the top. */
  readonly parent: string;
  /** "MAJOR:MINOR" of its superblock. */
  readonly device: string;
  /** The folder of the file system that is seen here; "net:[4026532281]" for a pinned namespace. */
  readonly root: string;
  /** Where, seen from the root of the process whose table it is. */
  readonly point: string;
  /** "ro,nosuid": of this mount. */
  readonly options: string;
  readonly type: string;
  readonly source: string;
  /** "rw,upperdir=/a": of the file system; escapes are left, since a comma may be one. */
  readonly superOptions: string;
}

/** Undefined where the line is none. */
export function parseMountLine(line: string): MountLine | undefined {
  // optional fields stand before it, their number differs
  const separator = line.indexOf(' - ');
  if (separator === -1) return undefined;
  const [id, parent, device, root, point, options] = line.slice(0, separator).split(' ');
  const [type, source, superOptions] = line.slice(separator + 3).split(' ');
  if (id === undefined || parent === undefined || device === undefined) return undefined;
  if (root === undefined || point === undefined || type === undefined) return undefined;
  return {
    id,
    parent,
    device,
    root: unescapeOctal(root),
    point: unescapeOctal(point),
    options: options ?? '',
    type,
    source: unescapeOctal(source ?? ''),
    superOptions: superOptions ?? '',
  };
}

/** All mounts of a table in its order, `limit` at most. */
export function* mountLines(text: string, limit = Number.POSITIVE_INFINITY): Generator<MountLine> {
  let found = 0;
  for (const line of text.split('\n')) {
    const mount = parseMountLine(line);
    if (mount === undefined) continue;
    if (++found > limit) return;
    yield mount;
  }
}

/** The value of an option of its file system: overlay's `upperdir`, a cgroup hierarchy's `release_agent`. */
export function superOption({ superOptions }: MountLine, name: string): string | undefined {
  const value = superOptions.split(',').find((option) => option.startsWith(`${name}=`));
  return value === undefined ? undefined : unescapeOctal(value.slice(name.length + 1));
}

/** Blank, tab, newline and backslash stand as three octal digits: so do the kernel's tables and getfattr(1). */
export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8) & 0xff));
}
