// Physical memory from /proc/kcore in LiME format, with what volatility3 needs beside it: types, symbols, VMCOREINFO.
import { closeSync } from 'node:fs';
import { type Artefact, type Collector, type GapReport, gap } from '../../capture/index.ts';
import type { NodeContext } from '../context.ts';
import { errnoOf, gapOf } from '../host/errno.ts';
import { openKernelFile } from '../host/open.ts';
import { kernelReader } from '../host/read.ts';
import { addressesOf, kernelFile } from './ram/beside.ts';
import { systemRam } from './ram/iomem.ts';
import { type Kcore, readKcore } from './ram/kcore.ts';
import { limeImage } from './ram/lime.ts';
import { mapRam, segmentsOf } from './ram/map.ts';

const MAX_IOMEM = 1024 * 1024;

/** An artefact is read back whole by whoever verifies it: larger memories are several, one after the other a whole image. */
const SEGMENT_BYTES = 8n * 1024n ** 3n;

export const ram: Collector<NodeContext> = Object.freeze({
  name: 'ram',
  description: 'Physical memory in LiME format, with BTF, kallsyms and VMCOREINFO for volatility3',
  phase: 'bulk',
  volatility: 55,
  artefacts: [
    '50-kernel/ram/memory-NNNNNN.lime.zst',
    '50-kernel/ram/btf.zst',
    '50-kernel/ram/kallsyms.zst',
    '50-kernel/ram/iomem',
    '50-kernel/ram/vmcoreinfo',
  ],
  needs: [
    { kind: 'path', name: '/proc/kcore', without: 'physical memory' },
    { kind: 'capability', name: 'CAP_SYS_RAWIO', without: 'physical memory' },
    { kind: 'capability', name: 'CAP_SYS_ADMIN', without: 'where physical memory is (addresses in /proc/iomem)' },
    { kind: 'capability', name: 'CAP_SYSLOG', without: 'addresses in kallsyms' },
  ],
  limits: { bytes: 4 * 1024 ** 4, seconds: 4 * 3600 },
  collect,
} satisfies Collector<NodeContext>);

async function* collect(context: NodeContext): AsyncGenerator<Artefact | GapReport> {
  const { proc, sys } = context.host;
  let fd: number;
  try {
    fd = openKernelFile(`${proc}/kcore`);
  } catch (error) {
    yield refusedKcore(error, sys);
    return;
  }
  const holders = holdersOf(fd);
  try {
    const kcore = readKcore(fd);
    if (typeof kcore === 'string') {
      yield gap('unsupported', '/proc/kcore', kcore);
      return;
    }
    const iomem = kernelReader().read(`${proc}/iomem`, MAX_IOMEM).bytes.toString('latin1');
    const ranges = systemRam(iomem);
    if (typeof ranges === 'string') {
      yield gap('denied', '/proc/iomem', ranges);
      return;
    }
    yield* besideIt(context, kcore, iomem);
    const { pieces, missing } = mapRam(ranges, kcore.loads);
    for (const { start, end } of missing) {
      const name = `physical memory ${start.toString(16)}-${end.toString(16)}`;
      yield gap('unsupported', name, 'no segment of /proc/kcore says that it holds this memory');
    }
    for (const [number, segment] of segmentsOf(pieces, SEGMENT_BYTES).entries()) {
      const path = `50-kernel/ram/memory-${String(number).padStart(6, '0')}.lime.zst`;
      const content = holders.during(() => limeImage(fd, segment, context.gap));
      yield { kind: 'artefact', path, source: '/proc/kcore', content };
    }
  } catch (error) {
    yield gapOf(error, 'physical memory', 'absent');
  } finally {
    holders.leave();
  }
}

/** The descriptor is closed when the collector and every image that it handed over have ended. */
function holdersOf(fd: number) {
  let count = 1;
  const leave = (): void => {
    if (--count === 0) closeSync(fd);
  };
  async function* until(image: () => AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      yield* image();
    } finally {
      leave();
    }
  }
  return {
    leave,
    during(image: () => AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      count++;
      return until(image);
    },
  };
}

/** Types, symbols, the map, and what the kernel tells crash dumps about itself. */
function* besideIt(
  { host, gap: report }: NodeContext,
  { vmcoreinfo }: Kcore,
  iomem: string,
): Generator<Artefact | GapReport> {
  yield kernelFile(`${host.sys}/kernel/btf/vmlinux`, '/sys/kernel/btf/vmlinux', '50-kernel/ram/btf.zst');
  const detail = 'all are zero: they take CAP_SYSLOG and kernel.kptr_restrict below 2';
  const addresses = addressesOf(() => report({ reason: 'denied', name: 'addresses in /proc/kallsyms', detail }));
  yield kernelFile(`${host.proc}/kallsyms`, '/proc/kallsyms', '50-kernel/ram/kallsyms.zst', addresses);
  const text = (path: string, source: string, bytes: Buffer): Artefact => {
    async function* content(): AsyncGenerator<Uint8Array> {
      yield bytes;
    }
    return { kind: 'artefact', path, source, content: content() };
  };
  yield text('50-kernel/ram/iomem', '/proc/iomem', Buffer.from(iomem, 'latin1'));
  if (vmcoreinfo === undefined) yield gap('absent', 'VMCOREINFO in /proc/kcore');
  else yield text('50-kernel/ram/vmcoreinfo', '/proc/kcore, note VMCOREINFO', vmcoreinfo);
}

/** Lockdown refuses even root; kernel_lockdown(7). */
function refusedKcore(error: unknown, sys: string): GapReport {
  const name = '/proc/kcore';
  if (errnoOf(error) === 'ENOENT') return gap('absent', name, 'this kernel offers no /proc/kcore');
  if (errnoOf(error) !== 'EPERM' && errnoOf(error) !== 'EACCES') return gapOf(error, name);
  try {
    const mode = /\[(\w+)\]/.exec(kernelReader().read(`${sys}/kernel/security/lockdown`, 4096).bytes.toString())?.[1];
    if (mode !== undefined && mode !== 'none') return gap('denied', name, `the kernel is locked down (${mode})`);
  } catch {
    // no security file system: it cannot be told
  }
  return gap('denied', name, 'the kernel refused: run as root with CAP_SYS_RAWIO in the initial user namespace');
}
