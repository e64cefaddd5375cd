// The head of /proc/kcore: an ELF core of the running kernel, elf(5) and fs/proc/kcore.c. Bounded and never trusted.
import { readSync } from 'node:fs';

const EHDR = 64;
const PHDR = 56;
const PT_LOAD = 1;
const PT_NOTE = 4;
/** The kernel has some tens. */
const MAX_HEADERS = 65_535;
const MAX_NOTES = 1024 * 1024;
/** Loads that are no physical memory bear this as their physical address. */
const NOWHERE = 0xffff_ffff_ffff_ffffn;

/** A segment of physical memory; all in bytes. */
export interface Load {
  readonly physical: bigint;
  readonly offset: bigint;
  readonly size: bigint;
}

export interface Kcore {
  /** Segments that say which physical memory they are; kernels before 4.11 do not. */
  readonly loads: readonly Load[];
  /** Text of lines NAME=VALUE; kernels before 4.19 have none. */
  readonly vmcoreinfo: Buffer | undefined;
}

/** The text says why it cannot be used. Throws the system's errors. */
export function readKcore(fd: number): Kcore | string {
  const head = readAt(fd, 0n, EHDR);
  if (head.length < EHDR || head.readUInt32BE(0) !== 0x7f454c46) return 'it is no ELF file';
  if (head[4] !== 2 || head[5] !== 1) return 'it is no ELF file of 64 bits, little-endian';
  const count = Math.min(head.readUInt16LE(56), MAX_HEADERS);
  if (head.readUInt16LE(54) !== PHDR) return 'its program headers have an unknown size';
  const headers = readAt(fd, head.readBigUInt64LE(32), count * PHDR);
  const loads: Load[] = [];
  let vmcoreinfo: Buffer | undefined;
  for (let at = 0; at + PHDR <= headers.length; at += PHDR) {
    const type = headers.readUInt32LE(at);
    const offset = headers.readBigUInt64LE(at + 8);
    const size = headers.readBigUInt64LE(at + 32);
    if (type === PT_NOTE) vmcoreinfo ??= findNote(readAt(fd, offset, Math.min(Number(size), MAX_NOTES)));
    const physical = headers.readBigUInt64LE(at + 24);
    if (type === PT_LOAD && physical !== NOWHERE && size > 0n) loads.push({ physical, offset, size });
  }
  // before 4.11 all of them say 0
  if (loads.length > 1 && loads.every(({ physical }) => physical === 0n)) {
    return 'its segments do not say which physical memory they are: kernels before 4.11 do not';
  }
  return { loads, vmcoreinfo };
}

function findNote(notes: Buffer): Buffer | undefined {
  for (let at = 0; at + 12 <= notes.length; ) {
    const nameSize = notes.readUInt32LE(at);
    const size = notes.readUInt32LE(at + 4);
    const start = at + 12 + ((nameSize + 3) & ~3);
    if (nameSize > 256 || start + size > notes.length) return undefined;
    if (notes.toString('latin1', at + 12, at + 12 + nameSize).startsWith('VMCOREINFO\0')) {
      return Buffer.from(notes.subarray(start, start + size));
    }
    at = start + ((size + 3) & ~3);
  }
  return undefined;
}

function readAt(fd: number, position: bigint, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let filled = 0;
  while (filled < size) {
    const got = readSync(fd, bytes, filled, size - filled, position + BigInt(filled));
    if (got === 0) break;
    filled += got;
  }
  return bytes.subarray(0, filled);
}
