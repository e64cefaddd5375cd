// Adds the time stamps that a bundle lacks, and says what was added.
import { addTimestamps, assertAuthorityUrl, ImpoundError, type Stamp, systemClock } from '../../evidence/index.ts';
import { localActor } from '../actor.ts';
import { openBundle } from '../bundle.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { TimestampArguments } from '../commands/timestamp.ts';
import { signingKey } from '../key.ts';
import { escapeText } from '../terminal/text.ts';

export async function runTimestamp(argv: TimestampArguments, environment: Environment): Promise<ExitCode> {
  argv.tsa.forEach(assertAuthorityUrl);
  const { store, path } = await openBundle(argv.bundle, argv);
  const { signer } = await signingKey(argv.key, environment);
  const { stamps, head, sealed } = await addTimestamps(
    { store, signer, actor: localActor(), clock: systemClock },
    argv.tsa,
  );
  // before its seal a bundle may still be written by its capture, which keeps things aside until it finishes
  if (sealed) await store.finish();
  const added = stamps.filter((stamp) => stamp.kind === 'stamped');
  const { json, stdout } = environment;
  if (json) stdout.write(`${JSON.stringify({ path, added, head })}\n`);
  else {
    for (const { path: token, time, url } of added) stdout.write(`added   ${token}  ${time}  ${escapeText(url)}\n`);
    if (stamps.length === 0) stdout.write('nothing to add: grant, seal and newest entry have their time stamps\n');
    stdout.write(`head    ${head.sequence}:${head.sha256}\n`);
  }
  for (const stamp of stamps) if (stamp.kind === 'unavailable') throw noAuthority(stamp);
  return 0;
}

function noAuthority({ entry, tried }: Stamp & { readonly kind: 'unavailable' }): ImpoundError {
  const why = tried.map(({ error }) => error).join('; ');
  return new ImpoundError('tsa-unavailable', `entry ${entry} got no time stamp: ${why}`, {
    operation: 'add time stamps',
    thing: `entry ${entry}`,
  });
}
