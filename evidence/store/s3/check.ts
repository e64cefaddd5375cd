// Tries on a bucket all that evidence needs of it, with at most two tiny objects of its own below PREFIX/.impound-check.
import { nonce } from '../../id.ts';
import { runChecks, type StoreCheck } from '../check.ts';
import { s3Url } from '../location.ts';
import { lockCheck, protectionChecks } from './check-lock.ts';
import { objectChecks } from './check-objects.ts';
import { partChecks } from './check-parts.ts';
import { BRIEF_SECONDS, type Probe, type ProbeOptions, probeOf } from './check-probe.ts';
import { reachChecks } from './check-reach.ts';
import { explain } from './check-remedy.ts';

export async function checkS3(options: ProbeOptions): Promise<StoreCheck> {
  const probe = probeOf(options, nonce());
  const { asked } = probe;
  return runChecks({
    store: s3Url(options),
    checks: [...reachChecks, lockCheck(asked), ...objectChecks, ...partChecks, ...protectionChecks(asked)],
    context: probe,
    explain: (error) => explain(error, probe),
    left: () => leftBy(probe),
  });
}

/** Nobody who stores evidence may remove anything: the check neither. */
function leftBy({ found, bucket, folder, body }: Probe): readonly string[] {
  if (found.objects + found.uploads === 0) return [];
  const counted = [
    ...(found.objects === 0 ? [] : [`${count(found.objects, 'object')} of ${body.bytes.length} bytes at most`]),
    ...(found.uploads === 0 ? [] : [count(found.uploads, 'unfinished upload')]),
  ];
  const lock =
    found.object?.protection.retention === undefined
      ? found.defaultRetention && `locked by the bucket's default, ${found.defaultRetention}`
      : `locked for ${BRIEF_SECONDS / 60} minutes`;
  const locked = lock === undefined || found.objects === 0 ? '' : `; the objects are ${lock}`;
  return [
    `${counted.join(' and ')} below s3://${bucket}/${folder}, since who stores evidence may remove nothing${locked}`,
  ];
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
