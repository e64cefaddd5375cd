// Runs the listed programs: no shell, a clean environment, a deadline, bounded output, and a note of each in footprint.json.
import { closeSync } from 'node:fs';
import type { FootprintItem } from '../context.ts';
import { findProgram, sha256OfFile, TRUSTED_FOLDERS } from './find.ts';
import { type Ending, launch, notStarted, type Running } from './launch.ts';
import { PROGRAMS, type ProgramName } from './list.ts';
import { type Place, pinNetns } from './netns.ts';

export type { Ending, Place, Running };

export interface RunOptions {
  readonly signal: AbortSignal;
  readonly seconds: number;
  /** Bytes of standard output that are taken; the program is ended there. */
  readonly bytes: number;
  /** Our own where absent. */
  readonly netns?: Place;
}

export interface Programs {
  /** Runs to the end: its output, also where the ending is not `done`. */
  run(name: ProgramName, args: readonly string[], options: RunOptions): Promise<Ending & { readonly stdout: Buffer }>;
  /** For output that is too much to be held. `stdout` must be read. */
  start(name: ProgramName, args: readonly string[], options: RunOptions): Promise<Running>;
}

type Located = { readonly path: string } | { readonly why: string };

const VERSION_SECONDS = 5;
/** Characters of a command line that the footprint keeps. */
const WORDS_SHOWN = 2000;
const VERSION_BYTES = 2000;

/** `folders` are where programs are looked for, in order. */
export function programs(
  footprint: (item: FootprintItem) => void,
  folders: readonly string[] = TRUSTED_FOLDERS,
): Programs {
  const known = new Map<ProgramName, Promise<Located>>();
  const locate = (name: ProgramName): Promise<Located> => {
    const before = known.get(name);
    if (before !== undefined) return before;
    const located = describe(name, folders, footprint);
    known.set(name, located);
    return located;
  };
  const start: Programs['start'] = async (name, args, options) => {
    const program = await locate(name);
    if ('why' in program) return notStarted('missing', program.why);
    if (options.netns === undefined) return begin(program.path, args, options, footprint);
    const nsenter = await locate('nsenter');
    if ('why' in nsenter) return notStarted('missing', nsenter.why);
    const namespace = pinNetns(options.netns);
    if (namespace === undefined) return notStarted('vanished', 'the processes of its network namespace have ended');
    try {
      // descriptor 3 of the child: a PID that is given to a new process meanwhile leads nowhere else
      const inside = ['--net=/proc/self/fd/3', '--', program.path, ...args];
      return begin(nsenter.path, inside, { ...options, descriptor: namespace }, footprint);
    } finally {
      closeSync(namespace);
    }
  };
  return {
    start,
    async run(name, args, options) {
      const running = await start(name, args, options);
      const chunks: Uint8Array[] = [];
      for await (const chunk of running.stdout) chunks.push(chunk);
      return { ...(await running.ended), stdout: Buffer.concat(chunks) };
    },
  };
}

function begin(
  path: string,
  args: readonly string[],
  options: RunOptions & { readonly descriptor?: number },
  footprint: (item: FootprintItem) => void,
): Running {
  const where = options.netns === undefined ? '' : ` (in net:[${options.netns.inode}])`;
  const started = (pid: number): void => {
    const words = [path, ...args].join(' ');
    const shown = words.length > WORDS_SHOWN ? `${words.slice(0, WORDS_SHOWN)}… (${args.length} arguments)` : words;
    footprint({ kind: 'process', name: `pid ${pid}`, detail: `${shown}${where}` });
  };
  return launch(path, args, { ...options, started });
}

/** Finds a program and puts it, with version and digest, into the footprint. Never rejects. */
async function describe(
  name: ProgramName,
  folders: readonly string[],
  footprint: (item: FootprintItem) => void,
): Promise<Located> {
  const spec = PROGRAMS.find((one) => one.name === name);
  const found = await findProgram(name, folders);
  if (found.kind === 'missing') return { why: `${found.why}; lost: ${spec?.without}` };
  try {
    // the digest first: what is run is what was read
    const digest = `sha256:${await sha256OfFile(found.path)}`;
    const version = spec === undefined || spec.version.length === 0 ? '' : await firstLine(found.path, spec.version);
    footprint({ kind: 'program', name: found.path, detail: version === '' ? digest : `${version}, ${digest}` });
    return { path: found.path };
  } catch (error) {
    return { why: `${found.path} could not be read: ${String(error)}; lost: ${spec?.without}` };
  }
}

async function firstLine(path: string, args: readonly string[]): Promise<string> {
  const signal = AbortSignal.timeout(VERSION_SECONDS * 1000);
  const running = launch(path, args, { signal, seconds: VERSION_SECONDS, bytes: VERSION_BYTES, started: () => {} });
  const chunks: Uint8Array[] = [];
  for await (const chunk of running.stdout) chunks.push(chunk);
  return (Buffer.concat(chunks).toString('utf8').split('\n')[0] ?? '').slice(0, 200);
}
