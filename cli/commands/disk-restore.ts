// impound disk restore BUNDLE DEVICE OUT
import type { Command } from '../command.ts';
import { BUNDLE, type StoreArguments, storeOptions } from './store-options.ts';

export interface DiskRestoreArguments extends StoreArguments {
  /** The second word of the verb, which yargs reads as an argument. */
  readonly restore: string;
  readonly bundle: string;
  readonly device: string;
  readonly out: string;
  readonly offset?: number;
  readonly length?: number;
  readonly session?: number;
}

export const diskRestore: Command<DiskRestoreArguments> = {
  usage: 'disk restore <bundle> <device> <out>',
  description: "Write a disk's image as a plain, sparse file that other tools can read",
  positionals: {
    bundle: BUNDLE,
    device: 'Name of the disk in the bundle: "sda"',
    out: 'File to be written; must not exist',
  },
  options: {
    offset: { type: 'number', describe: 'First byte of the disk that is wanted; reads only what it needs' },
    length: { type: 'number', describe: 'Bytes that are wanted; without it, all to the end' },
    session: { type: 'number', describe: 'Of this session; without it, of the newest that imaged the disk' },
    ...storeOptions,
  },
  examples: [
    ['$0 disk restore BUNDLE sda sda.img', 'then: fls -r sda.img, mount -o ro,noload,loop sda.img /mnt'],
    ['$0 disk restore BUNDLE sda mbr.img --offset 0 --length 512', ''],
  ],
  run: async (argv, environment) => (await import('../bundles/disk-restore.ts')).runDiskRestore(argv, environment),
};
