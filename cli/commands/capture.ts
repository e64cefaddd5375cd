// impound capture --local
import type { Command } from '../command.ts';
import { type ProtectionArguments, protectionOptions, type StoreArguments, storeOptions } from './store-options.ts';

export interface CaptureArguments extends StoreArguments, ProtectionArguments {
  readonly local: boolean;
  readonly store: string;
  readonly case?: string;
  readonly reason?: string;
  readonly profile: 'quick' | 'standard' | 'full';
  readonly collector: readonly string[];
  readonly skip: readonly string[];
  readonly suspect: readonly string[];
  readonly watch: number;
  readonly freeze: boolean;
  readonly device: readonly string[];
  readonly docker?: string;
  readonly cri?: string;
  readonly containerd?: string;
  readonly root: string;
  readonly key?: string;
  readonly recipient: readonly string[];
  readonly encryption?: 'none';
  readonly tsa: readonly string[];
  readonly strict: boolean;
  readonly verify: boolean;
}

export const capture: Command<CaptureArguments> = {
  usage: 'capture',
  description: 'Capture a machine into a sealed evidence bundle',
  positionals: {},
  options: {
    local: { type: 'boolean', demandOption: 'say which machine: --local captures this one', describe: 'This machine' },
    store: {
      type: 'string',
      default: './evidence',
      describe: 'Directory, or s3://BUCKET/PREFIX, that takes the bundle',
    },
    case: { type: 'string', describe: 'Case the bundle belongs to' },
    reason: { type: 'string', describe: 'Why it is captured; kept in the custody chain' },
    profile: { choices: ['quick', 'standard', 'full'], default: 'standard', describe: 'How much to collect' },
    collector: { type: 'string', array: true, nargs: 1, default: [], describe: 'Only these collectors' },
    skip: { type: 'string', array: true, nargs: 1, default: [], describe: 'All but these collectors' },
    suspect: {
      type: 'string',
      array: true,
      nargs: 1,
      default: [],
      describe: 'pod:NS/NAME, container:ID or pid:N; taken first',
    },
    watch: {
      type: 'number',
      default: 10,
      describe: "Seconds for which flows, and the suspects' packets, are watched",
    },
    freeze: {
      type: 'boolean',
      default: false,
      describe: 'Freeze suspect containers while their memory is read; they are thawed whatever happens',
    },
    device: {
      type: 'string',
      array: true,
      nargs: 1,
      default: [],
      describe: 'Block devices to be imaged; default: the disks that do not hold the store (profile full)',
    },
    docker: { type: 'string', describe: 'Socket of the Docker engine' },
    cri: { type: 'string', describe: 'Socket of the container runtime (CRI)' },
    containerd: { type: 'string', describe: 'Socket of containerd' },
    root: { type: 'string', default: '/', describe: "Where the host's root file system is mounted" },
    key: { type: 'string', describe: 'Private signing key: PEM file or kms:ARN; default: your own, made once' },
    recipient: {
      type: 'string',
      array: true,
      nargs: 1,
      default: [],
      describe: 'age recipient (age1…) that artefacts are encrypted to; repeatable',
    },
    encryption: {
      choices: ['none'],
      describe: 'Evidence is stored as it is, readable to whoever reads the store; to be said of a store in S3',
    },
    ...protectionOptions,
    tsa: {
      type: 'string',
      array: true,
      nargs: 1,
      default: [],
      describe: 'URL of a time-stamp authority (RFC 3161), the first that answers is taken; repeatable',
    },
    ...storeOptions,
    strict: { type: 'boolean', default: false, describe: 'Exit 1 where anything could not be had' },
    verify: { type: 'boolean', default: false, describe: 'Verify the bundle once it is sealed' },
  },
  examples: [
    ['$0 capture --local', 'this machine, into ./evidence'],
    ['$0 capture --local --store /mnt/usb --case IR-7 --reason "miner on web-3"', 'onto another disk, for a case'],
    ['$0 capture --local --store s3://evidence/ir --recipient age1… --retain 90', 'into S3, encrypted and locked'],
  ],
  sealsWhenStopped: true,
  run: async (argv, environment) => (await import('../local/capture-local.ts')).captureLocal(argv, environment),
};
