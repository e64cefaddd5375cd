// A bundle of disks' images, and what `impound disk restore` makes of it.
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { SIZES, type Sizes } from '../../agent/collectors/disk/sizes.ts';
import { collectDisks, disk } from '../../agent/collectors/disk.ts';
import type { NodeContext } from '../../agent/context.ts';
import { hostAt } from '../../agent/host/host.ts';
import type { Collector } from '../../capture/index.ts';
import { runDiskRestore } from '../../cli/bundles/disk-restore.ts';
import type { Environment } from '../../cli/command.ts';
import type { DiskRestoreArguments } from '../../cli/commands/disk-restore.ts';
import { type MadeBundle, type MakeOptions, makeBundle, silentLog } from './bundle.ts';
import { temporaryFolder } from './temporary.ts';

export interface DiskBundle {
  readonly devices: readonly string[];
  readonly sizes?: Partial<Sizes>;
  readonly seconds?: number;
}

/** The collector on the engine, so that what is compressed, mapped and recorded is what a capture stores. */
export async function bundleOf(t: TestContext, what: DiskBundle, options: MakeOptions = {}): Promise<MadeBundle> {
  return makeBundle(await temporaryFolder(t), [diskCollector(what)], options);
}

export function diskCollector({ devices, sizes = {}, seconds = disk.limits.seconds }: DiskBundle): Collector {
  return {
    ...disk,
    limits: { ...disk.limits, seconds },
    collect: (base) => {
      const more = { host: hostAt('/'), devices, ownFolders: [], footprint: () => undefined };
      return collectDisks({ ...base, ...more } as unknown as NodeContext, { ...SIZES, ...sizes });
    },
  };
}

export interface RestoredDisk {
  readonly file: string;
  readonly result: Readonly<Record<'data' | 'zero' | 'unreadable' | 'untried' | 'missing' | 'size', number>>;
}

/** Throws what the command throws. */
export async function restoredDisk(
  t: TestContext,
  made: Pick<MadeBundle, 'path'>,
  device: string,
  more: Partial<DiskRestoreArguments> = {},
): Promise<RestoredDisk> {
  const file = more.out ?? join(await temporaryFolder(t), 'restored.img');
  const printed: string[] = [];
  const environment: Environment = {
    json: true,
    quiet: true,
    log: silentLog,
    stdout: { write: (text: string) => printed.push(text) > 0 } as unknown as NodeJS.WriteStream,
    stderr: process.stderr,
    program: 'impound',
    signal: new AbortController().signal,
    endHard: () => undefined,
  };
  const common = { json: true, quiet: true, logLevel: 'error' } as const;
  const argv: DiskRestoreArguments = { ...common, restore: 'restore', bundle: made.path, device, out: file, ...more };
  await runDiskRestore(argv, environment);
  return { file, result: JSON.parse(printed.join('')) as RestoredDisk['result'] };
}
