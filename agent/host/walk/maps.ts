// Files a process holds that no peer may have any more: found in /proc/PID/maps and the targets of its links.

/** A file held by a process, and why its content may be worth keeping. */
export interface HeldFile {
  /** Below /proc/PID: "exe", "map_files/START-END", "fd/7". */
  readonly via: string;
  /** Path as the kernel shows it, lossy text; deleted ones end in " (deleted)". */
  readonly target: string;
  /**
   * `container` is only a candidate: the file is mapped executable in a container and may or may not be of its image.
   */
  readonly why: 'deleted' | 'memfd' | 'temporary' | 'container';
  readonly executable: boolean;
  /** "MAJOR:MINOR INODE" as maps shows it; unknown for descriptors. */
  readonly file?: string;
}

export interface MapsFindings {
  readonly held: readonly HeldFile[];
  /** "MAJOR:MINOR INODE" of the executable's own mapping. */
  readonly exeFile?: string;
}

const TEMPORARY = /^\/(?:tmp|var\/tmp|dev\/shm|run\/shm)\//;
const LINE = /^([0-9a-f]+-[0-9a-f]+) (\S{4}) [0-9a-f]+ ([0-9a-f]+:[0-9a-f]+) (\d+) +(\/.*)$/;

/** Executable file mappings worth a look. `text` is latin1; `exe` the target of /proc/PID/exe, latin1 as well. */
export function findInMaps(text: string, exe: string | undefined, inContainer: boolean): MapsFindings {
  const held = new Map<string, HeldFile>();
  let exeFile: string | undefined;
  for (let start = 0; start < text.length; ) {
    let end = text.indexOf('\n', start);
    if (end === -1) end = text.length;
    const slash = text.indexOf('/', start);
    if (slash === -1) break;
    const line = slash < end ? LINE.exec(text.slice(start, end)) : null;
    start = end + 1;
    if (line === null) continue;
    const [, range = '', permissions = '', device = '', inode = '', path = ''] = line;
    const file = `${device} ${inode}`;
    if (path === exe) exeFile ??= file;
    if (permissions[2] !== 'x' || held.has(file)) continue;
    const why = reason(path) ?? (inContainer ? 'container' : undefined);
    if (why === undefined) continue;
    held.set(file, {
      via: path === exe ? 'exe' : `map_files/${range}`,
      target: lossy(path),
      why,
      executable: true,
      file,
    });
  }
  return { held: [...held.values()], ...(exeFile === undefined ? {} : { exeFile }) };
}

/** Why a file is worth keeping by its path alone. */
export function reason(path: string): 'deleted' | 'memfd' | 'temporary' | undefined {
  if (path.startsWith('/memfd:')) return 'memfd';
  if (path.endsWith(' (deleted)'))
    return path.startsWith('/dev/zero') || path.startsWith('/SYSV') ? undefined : 'deleted';
  return TEMPORARY.test(path) ? 'temporary' : undefined;
}

/** Latin1 text that stands for bytes, as readable text. */
export function lossy(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8');
}
