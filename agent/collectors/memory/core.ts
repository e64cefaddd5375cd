// An ELF core file of 64 bits, elf(5): its head, made before the first byte of memory is read. Readable by gdb and by
// everything that takes the kernel's own cores. A segment whose pages were not stored has no bytes in the file.
import { coreNotes } from './notes.ts';
import { FIRST_PAGE, IS_STORED, type Layout, PAGES, REGION, SEGMENT_FIELDS, STORED } from './shared.ts';

const EHDR = 64;
const PHDR = 56;
const SHDR = 64;
const ET_CORE = 4;
const PT_LOAD = 1;
const PT_NOTE = 4;
/** More program headers than this: their number stands in the first section header. */
const PN_XNUM = 0xffff;
const MACHINES: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };
/** Program headers written as one piece. */
const HEADERS_AT_ONCE = 4096;

/** e_machine of what process.arch names; undefined for what these cores are not made for. */
export function coreMachine(arch: string): number | undefined {
  return MACHINES[arch];
}

/** Everything before the first stored page, in pieces: ELF header, program headers, notes, zeros up to a page. */
export function* coreHead(pid: number, layout: Layout, machine: number): Generator<Buffer> {
  const notes = coreNotes(pid, layout);
  const headers = layout.segments.length / SEGMENT_FIELDS + 1;
  const extended = headers >= PN_XNUM;
  const sections = EHDR + PHDR * headers;
  const notesAt = sections + (extended ? SHDR : 0);
  const end = notesAt + notes.length;
  const dataAt = Math.ceil(end / layout.pageSize) * layout.pageSize;
  yield elfHeader(machine, headers, extended ? sections : 0);
  yield programHeader({
    type: PT_NOTE,
    flags: 0,
    offset: notesAt,
    address: 0n,
    inFile: notes.length,
    inMemory: 0,
    align: 4,
  });
  yield* loads(layout, dataAt);
  if (extended) yield sectionHeader(headers);
  yield notes;
  yield Buffer.alloc(dataAt - end);
}

function elfHeader(machine: number, headers: number, sections: number): Buffer {
  const header = Buffer.alloc(EHDR);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]); // 64 bits, little-endian, System V
  header.writeUInt16LE(ET_CORE, 16);
  header.writeUInt16LE(machine, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BigInt(EHDR), 32); // e_phoff
  header.writeBigUInt64LE(BigInt(sections), 40); // e_shoff
  header.writeUInt16LE(EHDR, 52);
  header.writeUInt16LE(PHDR, 54);
  header.writeUInt16LE(Math.min(headers, PN_XNUM), 56);
  if (sections !== 0) {
    header.writeUInt16LE(SHDR, 58);
    header.writeUInt16LE(1, 60);
  }
  return header;
}

function* loads({ segments, regions, pageSize }: Layout, dataAt: number): Generator<Buffer> {
  let offset = dataAt;
  let waiting: Buffer[] = [];
  for (let index = 0; index < segments.length; index += SEGMENT_FIELDS) {
    const size = (segments[index + PAGES] ?? 0) * pageSize;
    const inFile = segments[index + STORED] === IS_STORED ? size : 0;
    const permissions = regions[segments[index + REGION] ?? 0]?.permissions ?? '';
    const address = BigInt(segments[index + FIRST_PAGE] ?? 0) * BigInt(pageSize);
    const flags = flagsOf(permissions);
    waiting.push(programHeader({ type: PT_LOAD, flags, offset, address, inFile, inMemory: size, align: pageSize }));
    offset += inFile;
    if (waiting.length < HEADERS_AT_ONCE) continue;
    yield Buffer.concat(waiting);
    waiting = [];
  }
  yield Buffer.concat(waiting);
}

/** PF_R 4, PF_W 2, PF_X 1. */
function flagsOf(permissions: string): number {
  return (permissions[0] === 'r' ? 4 : 0) | (permissions[1] === 'w' ? 2 : 0) | (permissions[2] === 'x' ? 1 : 0);
}

interface ProgramHeader {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: bigint;
  readonly inFile: number;
  readonly inMemory: number;
  readonly align: number;
}

function programHeader({ type, flags, offset, address, inFile, inMemory, align }: ProgramHeader): Buffer {
  const header = Buffer.alloc(PHDR);
  header.writeUInt32LE(type, 0);
  header.writeUInt32LE(flags, 4);
  header.writeBigUInt64LE(BigInt(offset), 8);
  header.writeBigUInt64LE(address, 16);
  header.writeBigUInt64LE(BigInt(inFile), 32);
  header.writeBigUInt64LE(BigInt(inMemory), 40);
  header.writeBigUInt64LE(BigInt(align), 48);
  return header;
}

/** The first section header, sh_info of which is the number of program headers. */
function sectionHeader(headers: number): Buffer {
  const header = Buffer.alloc(SHDR);
  header.writeBigUInt64LE(1n, 32); // sh_size: as many section headers as e_shnum says
  header.writeUInt32LE(headers, 44);
  return header;
}
