// What /proc/kallsyms says of modules and of compiled BPF programs, found while it is read for the archive.
import { closeSync } from 'node:fs';
import type { MemberStream } from '../../../evidence/index.ts';
import type { Host } from '../../host/host.ts';
import { chunksOf, openFile, type Unreadable, unreadable } from '../../host/kernel-file.ts';
import { lineSplitter } from '../sockets/lines.ts';

export interface BpfSymbol {
  readonly symbol: string;
  readonly address: string;
  /** Of a program: SHA-1 prefix over its instructions, as bpftool prints it, and its name of at most 15 bytes. */
  readonly tag?: string;
  readonly name?: string;
}

export interface Symbols {
  readonly kind: 'symbols';
  /** Names in brackets that are modules. */
  readonly modules: ReadonlySet<string>;
  readonly bpf: readonly BpfSymbol[];
  readonly bpfDropped: number;
  /** Whether any address was shown: they are all zero to who lacks CAP_SYSLOG, and to all with kptr_restrict 2. */
  readonly addresses: boolean;
  readonly content: MemberStream;
  readonly truncated?: string;
}

const TABLE_BYTES = 32 * 1024 * 1024;
const MOST_BPF = 20_000;

/** Reads kallsyms (5 to 20 MB) once, keeping its bytes until the archive has taken them. */
export async function readSymbols(host: Host, signal: AbortSignal): Promise<Symbols | Unreadable> {
  const opened = openFile(`${host.proc}/kallsyms`);
  if (opened.kind === 'unreadable') return opened;
  const modules = new Set<string>();
  const bpf: BpfSymbol[] = [];
  let bpfDropped = 0;
  let addresses = false;
  const lines = lineSplitter({
    line(text) {
      addresses ||= text !== '' && !text.startsWith('00000000');
      if (!text.endsWith(']')) return;
      const owner = ownerOf(text);
      if (owner === 'bpf') {
        if (bpf.length < MOST_BPF) bpf.push(bpfSymbol(text));
        else bpfDropped++;
      } else if (owner !== undefined && !owner.startsWith('__builtin__')) modules.add(owner);
    },
    end() {},
  });
  const chunks: Buffer[] = [];
  try {
    const reading = chunksOf(opened.fd, TABLE_BYTES);
    let step = reading.next();
    for (; step.done !== true; step = reading.next()) {
      signal.throwIfAborted();
      chunks.push(step.value);
      lines.push(step.value);
      await new Promise(setImmediate);
    }
    lines.end();
    const size = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    return {
      kind: 'symbols',
      modules,
      bpf,
      bpfDropped,
      addresses,
      content: { size, bytes: handOver(chunks) },
      ...(step.value.more ? { truncated: `limit of ${TABLE_BYTES} bytes` } : {}),
    };
  } catch (error) {
    return unreadable(error);
  } finally {
    closeSync(opened.fd);
  }
}

/** "ffffffffc0a00000 t nft_do_chain\t[nf_tables]": the name in the brackets; they are "[bpf]" for compiled programs. */
export function ownerOf(line: string): string | undefined {
  return /\t\[([^\]\t]+)\]$/.exec(line)?.[1];
}

export function bpfSymbol(line: string): BpfSymbol {
  const [address = '', , symbol = ''] = line.split(/[ \t]/);
  const program = /^bpf_prog_([0-9a-f]{16})(?:_(.*))?$/.exec(symbol);
  return {
    symbol,
    address,
    ...(program?.[1] === undefined ? {} : { tag: program[1] }),
    ...(program?.[2] === undefined ? {} : { name: program[2] }),
  };
}

/** Each chunk is let go as it is taken. */
async function* handOver(chunks: Buffer[]): AsyncGenerator<Buffer> {
  for (let chunk = chunks.shift(); chunk !== undefined; chunk = chunks.shift()) yield chunk;
}
