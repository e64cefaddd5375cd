// impound capture --local, impound capture NODE
import { type Command, LEFT_RUNNING } from '../command.ts';
import { usage } from '../usage.ts';
import { type ClusterArguments, clusterOptions, type TriageArguments, triageOption } from './cluster-options.ts';
import { repeatable } from './repeatable.ts';
import { type ProtectionArguments, protectionOptions, type StoreArguments, storeOptions } from './store-options.ts';

export interface CaptureArguments extends StoreArguments, ProtectionArguments, ClusterArguments, TriageArguments {
  readonly node?: string;
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
  readonly name?: string;
  readonly cordon: boolean;
  readonly deadline?: number;
  readonly dryRun: boolean;
  readonly detach: boolean;
}

/** Of a node of a cluster only. */
const group = 'A node:';
const nodeOptions: Command<never>['options'] = {
  name: { type: 'string', group, describe: 'Name of the capture; default: NODE-XXXX' },
  cordon: { type: 'boolean', group, default: true, describe: 'The node takes no new pods; --no-cordon: it does' },
  deadline: { type: 'number', group, describe: 'Seconds for which is collected, at most; default: 14400' },
  'dry-run': { type: 'boolean', group, default: false, describe: 'Show the plan, and create nothing' },
  detach: { type: 'boolean', group, default: false, describe: 'Do not watch: "watch NAME" does later' },
  triage: { ...triageOption.triage, group },
};

export const capture: Command<CaptureArguments> = {
  usage: 'capture [node]',
  description: 'Capture a machine into a sealed evidence bundle: this one, or a node of a cluster',
  positionals: { node: "The cluster's node" },
  options: {
    local: { type: 'boolean', default: false, describe: 'This machine' },
    store: {
      type: 'string',
      default: './evidence',
      describe: 'Directory, or s3://BUCKET/PREFIX, that takes the bundle',
    },
    case: { type: 'string', describe: 'Case the bundle belongs to' },
    reason: { type: 'string', describe: 'Why it is captured; kept in the custody chain' },
    profile: { choices: ['quick', 'standard', 'full'], default: 'standard', describe: 'How much to collect' },
    collector: repeatable('Only these collectors'),
    skip: repeatable('All but these collectors'),
    suspect: repeatable('pod:NS/NAME, container:ID or pid:N; taken first'),
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
    device: repeatable('Block devices to be imaged; default: the disks that do not hold the store (profile full)'),
    docker: { type: 'string', describe: 'Socket of the Docker engine' },
    cri: { type: 'string', describe: 'Socket of the container runtime (CRI)' },
    containerd: { type: 'string', describe: 'Socket of containerd' },
    root: { type: 'string', default: '/', describe: "Where the host's root file system is mounted" },
    key: { type: 'string', describe: 'Private signing key: PEM file or kms:ARN; default: your own, made once' },
    recipient: repeatable('age recipient (age1…) that artefacts are encrypted to; repeatable'),
    encryption: {
      choices: ['none'],
      describe: 'Evidence is stored as it is, readable to whoever reads the store; to be said of a store in S3',
    },
    ...protectionOptions,
    tsa: repeatable('URL of a time-stamp authority (RFC 3161), the first that answers is taken; repeatable'),
    ...storeOptions,
    strict: { type: 'boolean', default: false, describe: 'Exit 1 where anything could not be had' },
    verify: { type: 'boolean', default: false, describe: 'Verify the bundle once it is sealed' },
    ...nodeOptions,
    ...clusterOptions,
  },
  examples: [
    ['$0 capture --local', 'this machine, into ./evidence'],
    ['$0 capture --local --store /mnt/usb --case IR-7 --reason "miner on web-3"', 'onto another disk, for a case'],
    ['$0 capture --local --store s3://evidence/ir --recipient age1… --retain 90', 'into S3, encrypted and locked'],
    ['$0 capture web-3 --reason "miner" --suspect pod:web/shop-7 --recipient age1…', 'a node of the cluster'],
    ['$0 capture web-3 --reason miner --encryption none --dry-run', 'what that would do, and whether you may'],
  ],
  onStop: ({ local }) =>
    local ? 'stopping; what was stored is kept and sealed (once more to leave at once)' : LEFT_RUNNING,
  async run(argv, environment) {
    const { local, node } = argv;
    if (local === (node !== undefined))
      throw usage('say which machine: --local captures this one, "capture NODE" a node of the cluster');
    if (node !== undefined) return (await import('../cluster/capture-node.ts')).captureNode(argv, node, environment);
    return (await import('../local/capture-local.ts')).captureLocal(argv, environment);
  },
};
