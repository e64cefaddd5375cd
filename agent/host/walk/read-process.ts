// Reads one process: its files, links, descriptors and threads, each bounded, and what could not be had.
import { closeSync } from 'node:fs';
import type { Gap } from '../../../evidence/index.ts';
import { errnoOf, gapOf } from '../errno.ts';
import { containerIdentity } from '../identity.ts';
import { listNumbers } from '../list.ts';
import { childPath, openFolder, readLink } from '../open.ts';
import type { KernelReader } from '../read.ts';
import type { ProcessSummary } from '../walk.ts';
import type { BatchWriter } from './batch.ts';
import {
  FDINFO_BOUND,
  INDEX_FILES,
  MAX_DESCRIPTORS,
  MAX_RAW_DESCRIPTORS,
  MAX_THREADS,
  MOUNTINFO,
  NAMESPACES,
  PROCESS_FILES,
  PROCESS_LINKS,
  type ProcFileSpec,
  THREAD_FILES,
} from './files.ts';
import { findInMaps, type HeldFile, lossy, reason } from './maps.ts';
import { type ProcessStat, parseStat } from './stat.ts';

/** What lives as long as the walk. */
export interface WalkState {
  readonly proc: string;
  readonly raw: boolean;
  readonly reader: KernelReader;
  readonly batch: BatchWriter;
  /** Mount namespaces whose mountinfo is had. */
  readonly mountNamespaces: Set<string>;
  /** Names that this kernel has not at all: declared once. */
  readonly unsupported: Set<string>;
  /** Names not to be read of a PID, since reading them did not come back. */
  skipped(pid: number, name: string): boolean;
  /** Called before each read, so that one that does not come back can be named. */
  progress(pid: number, name: string): void;
}

/** Reads `pid` into the batch. A gap alone, where it was gone before it could be named. */
export function readProcess(state: WalkState, pid: number): Gap | undefined {
  state.progress(pid, 'stat');
  let folder: number;
  try {
    // all is read below this one descriptor: a PID that is given to a new process meanwhile is not mixed up with it
    folder = openFolder(`${state.proc}/${pid}`);
  } catch (error) {
    return gapOf(error, `pid ${pid}`);
  }
  try {
    const { bytes } = state.reader.read(childPath(folder, 'stat'), 4096);
    const stat = parseStat(bytes.toString('latin1'));
    if (stat === undefined)
      return { reason: 'failed', name: `pid ${pid}`, detail: 'its stat line could not be understood' };
    if (state.raw) state.batch.add('stat', 'file', bytes);
    new ProcessReader(state, pid, folder, stat).run();
  } catch (error) {
    return gapOf(error, `pid ${pid}`);
  } finally {
    closeSync(folder);
  }
  return undefined;
}

/** The reading of one process: its findings so far, and the folder it is read from. */
class ProcessReader {
  readonly #state: WalkState;
  readonly #pid: number;
  readonly #folder: number;
  readonly #stat: ProcessStat;
  readonly #gaps: Gap[] = [];
  readonly #sockets: { fd: number; inode: number }[] = [];
  readonly #held: HeldFile[] = [];
  #gone = false;

  constructor(state: WalkState, pid: number, folder: number, stat: ProcessStat) {
    this.#state = state;
    this.#pid = pid;
    this.#folder = folder;
    this.#stat = stat;
  }

  run(): void {
    const { raw } = this.#state;
    const { kernelThread } = this.#stat;
    const links = new Map<string, string>();
    for (const name of PROCESS_LINKS) if (!kernelThread) this.#link(name, links);
    for (const name of raw ? NAMESPACES : ['mnt', 'net']) this.#link(`ns/${name}`, links);
    const exe = links.get('exe');
    let cgroup = '';
    let maps = '';
    for (const spec of raw ? PROCESS_FILES : INDEX_FILES) {
      if (kernelThread && spec.userOnly) continue;
      const bytes = this.#file(spec.name, spec);
      if (spec.name === 'cgroup') cgroup = bytes?.toString('latin1') ?? '';
      if (spec.name === 'maps') maps = bytes?.toString('latin1') ?? '';
    }
    if (raw) this.#mountinfo(links.get('ns/mnt'));
    const container = containerIdentity(cgroup);
    const found = findInMaps(maps, exe, container !== undefined);
    this.#held.push(...found.held);
    if (exe !== undefined && !found.held.some(({ via }) => via === 'exe')) this.#heldExecutable(exe, found.exeFile);
    this.#descriptors();
    if (raw && this.#stat.threads > 1) this.#threads();
    const netns = namespaceInode(links.get('ns/net'));
    const mntns = namespaceInode(links.get('ns/mnt'));
    const summary: ProcessSummary = {
      pid: this.#pid,
      startTicks: this.#stat.startTicks,
      comm: lossy(this.#stat.comm),
      ...(exe === undefined ? {} : { exe: lossy(exe) }),
      ...(found.exeFile === undefined ? {} : { exeFile: found.exeFile }),
      ...(netns === undefined ? {} : { netns }),
      ...(mntns === undefined ? {} : { mntns }),
      sockets: this.#sockets,
      ...(container === undefined ? {} : { container }),
      parent: this.#stat.parent,
      kernelThread,
      held: this.#held,
    };
    if (this.#gone)
      this.#gaps.push(gapOf(Object.assign(new Error('gone'), { code: 'ESRCH' }), this.#name('the rest of it')));
    this.#state.batch.endProcess(summary, this.#gaps);
  }

  /** An executable that no mapping showed: its maps were denied, or it was unmapped to look like something else. */
  #heldExecutable(exe: string, file: string | undefined): void {
    const why = reason(exe);
    if (why === undefined) return;
    this.#held.push({ via: 'exe', target: lossy(exe), why, executable: true, ...(file === undefined ? {} : { file }) });
  }

  #link(name: string, links: Map<string, string>): void {
    if (this.#gone) return;
    try {
      const target = readLink(childPath(this.#folder, name));
      if (this.#state.raw) this.#state.batch.add(name, 'link', target);
      links.set(name, target.toString('latin1'));
    } catch (error) {
      this.#failed(error, name);
    }
  }

  /** The bytes are a view that the next read overwrites. */
  #file(name: string, { bound }: ProcFileSpec): Buffer | undefined {
    const { state, pid } = { state: this.#state, pid: this.#pid };
    if (this.#gone) return undefined;
    if (state.skipped(pid, name)) {
      const detail = 'reading it did not come back: the process is stuck, or makes whoever looks at its memory wait';
      this.#gaps.push({ reason: 'timeout', name: this.#name(name), detail });
      return undefined;
    }
    state.progress(pid, name);
    try {
      const { bytes, left } = state.reader.read(childPath(this.#folder, name), bound);
      if (state.raw) state.batch.add(name, 'file', bytes, left);
      this.#cut(name, left, bound);
      if (name === 'environ') this.#checkEnviron(bytes.length + left);
      return bytes;
    } catch (error) {
      this.#failed(error, name);
      return undefined;
    }
  }

  #mountinfo(namespace: string | undefined): void {
    const { mountNamespaces } = this.#state;
    if (namespace === undefined || mountNamespaces.has(namespace)) return;
    if (this.#file(MOUNTINFO.name, MOUNTINFO) !== undefined) mountNamespaces.add(namespace);
  }

  #descriptors(): void {
    const { batch, raw } = this.#state;
    const list = this.#list('fd', MAX_DESCRIPTORS, 'descriptors');
    if (raw && list.length > MAX_RAW_DESCRIPTORS) {
      const name = `${this.#name('fd')}: ${list.length - MAX_RAW_DESCRIPTORS} left`;
      const detail = `more than ${MAX_RAW_DESCRIPTORS} descriptors: of the rest only sockets and deleted files are looked at`;
      this.#gaps.push({ reason: 'truncated', name, detail });
    }
    for (const [index, fd] of list.entries()) {
      if (this.#gone) return;
      let target: Buffer;
      try {
        target = readLink(childPath(this.#folder, `fd/${fd}`));
      } catch (error) {
        if (errnoOf(error) === 'ENOENT') continue; // closed meanwhile, as descriptors are
        this.#failed(error, 'fd'); // and the rest will fail likewise
        return;
      }
      const text = target.toString('latin1');
      if (text.startsWith('socket:[')) this.#sockets.push({ fd, inode: Number(text.slice(8, -1)) });
      else if (text.endsWith(' (deleted)') && text.startsWith('/')) {
        const why = text.startsWith('/memfd:') ? 'memfd' : 'deleted';
        this.#held.push({ via: `fd/${fd}`, target: lossy(text), why, executable: false });
      }
      if (!raw || index >= MAX_RAW_DESCRIPTORS) continue;
      batch.add(`fd/${fd}`, 'link', target);
      this.#optional(`fdinfo/${fd}`, FDINFO_BOUND);
    }
  }

  #threads(): void {
    const listed = this.#list('task', MAX_THREADS, 'threads');
    for (const tid of listed) {
      if (this.#gone) return;
      for (const { name, bound } of THREAD_FILES) this.#optional(`task/${tid}/${name}`, bound);
    }
  }

  /** A file of a descriptor or thread, which may end at any time without that being worth a gap. */
  #optional(name: string, bound: number): void {
    this.#state.progress(this.#pid, name);
    try {
      const { bytes, left } = this.#state.reader.read(childPath(this.#folder, name), bound);
      this.#state.batch.add(name, 'file', bytes, left);
      this.#cut(name, left, bound);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno !== 'ENOENT' && errno !== 'ESRCH') this.#failed(error, name);
    }
  }

  /** A page that cannot be read (userfaultfd(2) makes one) ends environ without an error. */
  #checkEnviron(got: number): void {
    const missing = this.#stat.environBytes - got;
    if (missing <= 0 || missing > 0xffff_ffff || !this.#alive()) return;
    const detail = 'shorter than the kernel says it is: a page of it could not be read, and it ends there';
    this.#gaps.push({ reason: 'failed', name: `${this.#name('environ')}: ${missing} bytes left`, detail });
  }

  #cut(name: string, left: number, bound: number): void {
    if (left === 0) return;
    const more = `${this.#name(name)}: ${left} bytes left`;
    this.#gaps.push({ reason: 'truncated', name: more, detail: `longer than the bound of ${bound} bytes` });
  }

  /** The numbers in a folder, ascending. Names beyond the bound are counted, and are a gap. */
  #list(name: string, bound: number, what: string): readonly number[] {
    if (this.#gone) return [];
    this.#state.progress(this.#pid, name);
    try {
      const { numbers, left } = listNumbers(childPath(this.#folder, name), bound);
      if (left > 0) {
        const detail = `more than the bound of ${bound} ${what}; the rest was counted only`;
        this.#gaps.push({ reason: 'truncated', name: `${this.#name(name)}: ${left} left`, detail });
      }
      return numbers;
    } catch (error) {
      this.#failed(error, name);
      return [];
    }
  }

  /** ENOENT and ESRCH mean that the process ended, or that this kernel has no such file. */
  #failed(error: unknown, name: string): void {
    const errno = errnoOf(error);
    // EINVAL is what attr/current answers where no security module labels processes
    if (errno !== 'ENOENT' && errno !== 'ESRCH' && errno !== 'EINVAL') {
      // a zombie has no memory and no files any more: there is nothing that could be denied
      if (this.#stat.state === 'Z') return;
      this.#gaps.push(gapOf(error, this.#name(name)));
      return;
    }
    if (!this.#alive()) {
      this.#gone = true;
      return;
    }
    // exe of a zombie or of a process without memory; what else is missing of a living one is missing for all
    if (PROCESS_LINKS.includes(name) || this.#state.unsupported.has(name)) return;
    this.#state.unsupported.add(name);
    this.#gaps.push({ reason: 'unsupported', name: `/proc/PID/${name}`, detail: 'this kernel does not offer it' });
  }

  #alive(): boolean {
    try {
      this.#state.reader.read(childPath(this.#folder, 'stat'), 64);
      return true;
    } catch (error) {
      const errno = errnoOf(error);
      return errno !== 'ENOENT' && errno !== 'ESRCH';
    }
  }

  #name(file: string): string {
    return `pid ${this.#pid} ${file}`;
  }
}

function namespaceInode(link: string | undefined): number | undefined {
  const inode = /\[(\d+)\]$/.exec(link ?? '')?.[1];
  return inode === undefined ? undefined : Number(inode);
}
