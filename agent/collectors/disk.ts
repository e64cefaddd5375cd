// Raw images of block devices: every readable byte, zero runs and bad sectors mapped, in frames that can be read alone.
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { type Artefact, type Collector, type GapReport, gap } from '../../capture/index.ts';
import { describeError, jsonLine } from '../../evidence/index.ts';
import type { NodeContext } from '../context.ts';
import { gapOf } from '../host/errno.ts';
import { type Chosen, chooseDevices } from './disk/choose.ts';
import { describeDevice } from './disk/describe.ts';
import { type ImageEnd, image } from './disk/image.ts';
import { type OpenDevice, openDevice } from './disk/open-device.ts';
import { SIZES, type Sizes } from './disk/sizes.ts';
import { deviceSource, Hung, Removed } from './disk/source.ts';
import { attribute, sizeOf, wholeOf } from './disk/sysfs.ts';

/** Kept of the collector's seconds for what was read to be stored and for the map's end, which the engine would cut. */
const FAREWELL_SECONDS = 30;
/** Longer than a capture may go on after a disk was given up. */
const HELD_SECONDS = 86_400;
const SMALLEST_BLOCK = 512;

export const disk: Collector<NodeContext> = Object.freeze({
  name: 'disk',
  description: 'Raw images of block devices: zero runs and unreadable sectors mapped, any range readable on its own',
  phase: 'bulk',
  volatility: 90,
  artefacts: ['80-disk/DEVICE/device.json', '80-disk/DEVICE/map.jsonl', '80-disk/DEVICE/NNNNNN.img.zst'],
  needs: [
    { kind: 'path', name: '/sys/block', without: 'no disk is found' },
    { kind: 'capability', name: 'CAP_DAC_OVERRIDE', without: 'disks belong to root' },
  ],
  // stored bytes: 64 TiB; half a day
  limits: { bytes: 64 * 1024 ** 4, seconds: 43_200 },
  collect: (context) => collectDisks(context, SIZES),
} satisfies Collector<NodeContext>);

/** The collector with images cut as `sizes` says. */
export async function* collectDisks(context: NodeContext, sizes: Sizes): AsyncGenerator<Artefact | GapReport> {
  const ending = context.endsIn(FAREWELL_SECONDS);
  const stopped = (): boolean => ending.aborted;
  const { chosen, gaps } = chooseDevices(context.host, context.devices, context.ownFolders);
  for (const found of gaps) yield found;
  const waiting = [...chosen];
  for (let device = waiting.shift(); device !== undefined; device = waiting.shift()) {
    const failure = yield* collectDisk(context, device, sizes, stopped);
    if (!(failure instanceof Hung)) continue;
    // its reads still hold threads: a second such disk would take those that store the evidence
    for (const { folder } of waiting) yield gap('skipped', folder.name, 'a disk before it did not answer');
    return;
  }
}

async function* collectDisk(
  context: NodeContext,
  chosen: Chosen,
  sizes: Sizes,
  stopped: () => boolean,
): AsyncGenerator<Artefact | GapReport, unknown> {
  const { folder } = chosen;
  let opened: OpenDevice;
  try {
    opened = await openDevice(chosen, sizes.hung);
  } catch (error) {
    if (!(error instanceof Hung)) {
      yield gapOf(error, folder.name);
      return undefined;
    }
    yield gap('timeout', folder.name, 'opening it did not come back: the disk is stuck');
    return error;
  }
  const { fd, path, present } = opened;
  const blockBytes = Math.max(
    SMALLEST_BLOCK,
    Number(attribute(wholeOf(folder) ?? folder, 'queue/logical_block_size')) || SMALLEST_BLOCK,
  );
  const source = deviceSource(fd, { bytes: sizeOf(folder), blockBytes, present }, sizes.hung);
  let failure: unknown;
  try {
    const name = folder.name.replace(/[^A-Za-z0-9._-]/g, '_');
    const description = jsonLine(describeDevice(context.host, folder, path));
    yield { kind: 'artefact', path: `80-disk/${name}/device.json`, source: folder.path, content: once(description) };
    context.footprint({ kind: 'note', name: path, detail: 'read as a whole, through the page cache' });
    const ended = yield* image(name, path, source, sizes, stopped);
    failure = ended.failure;
    yield* declare(folder.name, ended);
    return failure;
  } finally {
    // a read that hangs keeps its descriptor: closed, its number could become another file's
    if (failure instanceof Hung) {
      holdOpen(context, fd, path);
    } else {
      source.close();
      closeSync(fd);
    }
  }
}

/**
 * Who closes a block device last waits until its cache is empty, and so until the disk answers: the end of this process
 * would. A process that outlives it does that instead, where nobody else has the device open.
 */
function holdOpen(context: NodeContext, fd: number, path: string): void {
  const holder = spawn('/bin/sleep', [String(HELD_SECONDS)], {
    stdio: [fd, 'ignore', 'ignore'],
    detached: true,
    env: {},
  });
  holder.on('error', () => undefined); // then our end waits for the disk
  holder.unref();
  const detail = `sleep ${HELD_SECONDS}: holds ${path} open, so that this program can end while the disk does not answer`;
  context.footprint({ kind: 'process', name: `pid ${holder.pid}`, detail });
}

/** What is missing of an image, in the gaps' words. */
function* declare(name: string, end: ImageEnd): Generator<GapReport> {
  const { unreadable, unreadableRanges, untried, left, failure } = end;
  const total = end.data + end.zero + unreadable + untried;
  if (unreadable > 0) {
    const much = `${unreadable} of ${total} bytes in ${unreadableRanges} ranges`;
    yield gap('failed', `${name}: ${much}`, 'unreadable sectors: mapped, and zero in a restored image');
  }
  if (untried > left) {
    yield gap('skipped', `${name}: ${untried - left} of ${total} bytes`, 'not tried: they lie within bad regions');
  }
  if (left === 0 && failure === undefined) return;
  const much = `${name}: ${left} of ${total} bytes left`;
  if (failure instanceof Removed) yield gap('vanished', much, 'the device was removed while it was read');
  else if (failure instanceof Hung) yield gap('timeout', much, 'reading it did not come back: the disk is stuck');
  else if (failure !== undefined) yield gap('failed', much, describeError(failure));
  else yield gap('timeout', much, 'the time for disks was over: name this one with --device to have it first');
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
