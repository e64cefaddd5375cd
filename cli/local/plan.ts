// What a capture of this machine is going to do: everything that can be wrong with the words is found here, before
// anything is written.
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Host, hostAt, type NodeSettings, nodeCollectors, nodeSettings, profiles } from '../../agent/index.ts';
import { selectCollectors } from '../../capture/index.ts';
import {
  assertAuthorityUrl,
  assertName,
  bundleId,
  bundlePrefix,
  parseRecipients,
  parseS3Url,
  systemClock,
} from '../../evidence/index.ts';
import { newBundle } from '../bundle.ts';
import type { CaptureArguments } from '../commands/capture.ts';
import { protectionOf } from '../protection.ts';
import { usage } from '../usage.ts';
import { parseSuspect } from './suspect.ts';

const MAX_WATCH_SECONDS = 3600;

export type Plan = Awaited<ReturnType<typeof makePlan>>;

export async function makePlan(argv: CaptureArguments) {
  if (argv.case !== undefined) assertName(argv.case, 'case');
  const selected = selectCollectors(nodeCollectors, {
    profile: profiles[argv.profile],
    only: argv.collector,
    skip: argv.skip,
  });
  if (selected.run.length === 0) throw usage('nothing is left to collect: --skip takes every collector away');
  const root = resolve(argv.root);
  await access(join(root, 'proc/self'), constants.R_OK).catch((cause: unknown) => {
    throw usage(`--root ${argv.root} has no proc file system below it`, { cause });
  });
  const host = hostAt(root);
  const id = bundleId(systemClock.now());
  const protection = protectionOf(argv.store, argv);
  assertEncryption(argv);
  argv.tsa.forEach(assertAuthorityUrl);
  const recipients = argv.recipient.length === 0 ? [] : await parseRecipients(argv.recipient);
  return {
    selected,
    settings: settingsOf(argv, host),
    host,
    id,
    protection,
    recipients,
    place: await newBundle(argv.store, bundlePrefix(undefined, argv.case, id), argv, protection),
  };
}

function settingsOf(argv: CaptureArguments, host: Host): NodeSettings {
  const settings = nodeSettings(host);
  const named = (socket: string | undefined): readonly string[] | undefined =>
    socket === undefined ? undefined : [resolve(socket)];
  if (argv.watch < 0 || argv.watch > MAX_WATCH_SECONDS)
    throw usage(`--watch ${argv.watch}: give seconds from 0 to ${MAX_WATCH_SECONDS}`);
  return {
    ...settings,
    profile: argv.profile,
    suspects: argv.suspect.map(parseSuspect),
    dockerSockets: named(argv.docker) ?? settings.dockerSockets,
    criSockets: named(argv.cri ?? argv.containerd) ?? settings.criSockets,
    containerdSockets: named(argv.containerd) ?? settings.containerdSockets,
    watch: argv.watch,
    freeze: argv.freeze,
    devices: argv.device.map((path) => resolve(path)),
  };
}

/** What leaves the machine is encrypted, or somebody has said that it shall not be. */
function assertEncryption({ store, recipient, encryption }: CaptureArguments): void {
  if (recipient.length > 0 && encryption === 'none') throw usage('--recipient and --encryption none: give one of them');
  if (parseS3Url(store) === undefined || recipient.length > 0 || encryption === 'none') return;
  throw usage(
    'memory and environments hold secrets of everything on the machine: give --recipient age1… (age-keygen makes one), or --encryption none',
  );
}
