// The notes of a core: what /proc knows of the process, in the kernel's layouts (elf(5), include/uapi/linux/elfcore.h).
// There are no NT_PRSTATUS notes: registers can be had by ptrace(2) only, and made-up ones would be evidence of nothing.
import { parseStat } from '../../host/walk/stat.ts';
import type { Layout, Region } from './shared.ts';

const NT_PRPSINFO = 3;
const NT_AUXV = 6;
const NT_FILE = 0x46494c45;

export function coreNotes(pid: number, layout: Layout): Buffer {
  const { auxv, regions, pageSize } = layout;
  return Buffer.concat([
    note(NT_PRPSINFO, processInfo(pid, layout)),
    ...(auxv === undefined ? [] : [note(NT_AUXV, auxv)]),
    note(NT_FILE, fileMap(regions, pageSize)),
  ]);
}

function note(type: number, content: Uint8Array): Buffer {
  const name = Buffer.from('CORE\0\0\0\0');
  const header = Buffer.alloc(12);
  header.writeUInt32LE(5, 0);
  header.writeUInt32LE(content.length, 4);
  header.writeUInt32LE(type, 8);
  return Buffer.concat([header, name, content, Buffer.alloc(-content.length & 3)]);
}

/** struct elf_prpsinfo, the same on x86-64 and arm64. */
function processInfo(pid: number, { stat: text, uid, gid, psargs }: Layout): Buffer {
  const stat = parseStat(text);
  const info = Buffer.alloc(136);
  const state = stat?.state ?? 'R';
  info.writeUInt8(Math.max(0, 'RSDTZW'.indexOf(state)), 0);
  info.write(state.slice(0, 1), 1, 'latin1');
  info.writeUInt8(state === 'Z' ? 1 : 0, 2);
  info.writeInt8(Math.max(-20, Math.min(19, stat?.nice ?? 0)), 3);
  const ids = [uid, gid, pid, stat?.parent, stat?.group, stat?.session];
  for (const [index, id] of ids.entries()) info.writeUInt32LE((id ?? 0) >>> 0, 16 + 4 * index);
  info.write((stat?.comm ?? '').slice(0, 15), 40, 'latin1');
  for (const [index, byte] of psargs.subarray(0, 79).entries()) info[56 + index] = byte === 0 ? 0x20 : byte;
  return info;
}

/** fill_files_note() of the kernel: count, page size, (start, end, offset in pages) each, then the names. */
function fileMap(regions: readonly Region[], pageSize: number): Buffer {
  const files = regions.filter(({ inode, path }) => inode !== '0' && path.startsWith('/'));
  const table = Buffer.alloc(16 + 24 * files.length);
  table.writeBigUInt64LE(BigInt(files.length), 0);
  table.writeBigUInt64LE(BigInt(pageSize), 8);
  for (const [index, { start, end, offset }] of files.entries()) {
    table.writeBigUInt64LE(start, 16 + 24 * index);
    table.writeBigUInt64LE(end, 24 + 24 * index);
    table.writeBigUInt64LE(offset / BigInt(pageSize), 32 + 24 * index);
  }
  const names = files.map(({ path }) => `${path.replaceAll('\\012', '\n')}\0`).join('');
  return Buffer.concat([table, Buffer.from(names, 'latin1')]);
}
