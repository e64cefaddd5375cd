// Is the store there, does it know us, and do both clocks agree: all told by the first request.
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { type ErrorCode, ImpoundError } from '../../errors.ts';
import { type Check, type CheckFinding, failed, ok, warning } from '../check.ts';
import type { Probe } from './check-probe.ts';
import { explain } from './check-remedy.ts';

/** AWS refuses what is signed more than 15 minutes off. */
const SKEW_SECONDS = 60;
const SET_THE_CLOCK = "set this machine's clock; on a suspect machine write the difference down first";

export const reachChecks: readonly Check<Probe>[] = [
  { name: 'credentials', tried: "the AWS environment's own search for them", needed: true, run: findCredentials },
  { name: 'reachable', tried: 'ListObjectsV2', needed: true, after: ['credentials'], run: reach },
  {
    name: 'region',
    tried: 'the same request',
    needed: true,
    after: ['reachable'],
    run: async (probe) => refusal(probe, 'store-region') ?? ok(await regionOf(probe)),
  },
  { name: 'clock', tried: "the answer's own date", needed: true, after: ['region'], run: compareClocks },
  {
    name: 'identity',
    tried: 'the same request',
    needed: true,
    after: ['clock'],
    run: async (probe) => refusal(probe, 'store-credentials') ?? ok('the store accepts these credentials'),
  },
  {
    name: 'bucket',
    tried: 'the same request',
    needed: true,
    after: ['identity'],
    run: async (probe) => refusal(probe, 'store-missing') ?? otherRefusal(probe) ?? ok(`${probe.bucket} is there`),
  },
  {
    name: 'list objects',
    tried: 'ListObjectsV2',
    needed: true,
    after: ['bucket'],
    run: async (probe) => refusal(probe, 'store-denied') ?? ok('s3:ListBucket is allowed'),
  },
];

async function findCredentials({ client }: Probe): Promise<CheckFinding> {
  try {
    const { accessKeyId } = await client.config.credentials();
    return ok(`found: access key ${accessKeyId}`);
  } catch {
    return failed('none were found', 'set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY');
  }
}

/** Says only whether an answer came: what it was is what the other checks here tell. */
async function reach(probe: Probe): Promise<CheckFinding> {
  const command = new ListObjectsV2Command({ Bucket: probe.bucket, Prefix: probe.folder, MaxKeys: 1 });
  try {
    await probe.plain.attempt('ListBucket', undefined, (client) => client.send(command));
  } catch (error) {
    probe.found.refused = error;
  }
  const answer = probe.answer();
  if (answer !== undefined) return ok(`it answers, after ${Math.round(answer.received - answer.sent)} ms`);
  const { refused } = probe.found;
  // without one nothing was sent
  if (refused instanceof ImpoundError && refused.code === 'store-region') return explain(refused, probe);
  const message = refused instanceof ImpoundError ? refused.message : String(refused);
  throw new ImpoundError('store-unreachable', message, { operation: 'check store', cause: refused });
}

function refusal(probe: Probe, code: ErrorCode): CheckFinding | undefined {
  const { refused } = probe.found;
  return refused instanceof ImpoundError && refused.code === code ? explain(refused, probe) : undefined;
}

/** A permission that is missing is told by itself. */
function otherRefusal(probe: Probe): CheckFinding | undefined {
  const { refused } = probe.found;
  const isDenied = refused instanceof ImpoundError && refused.code === 'store-denied';
  return refused === undefined || isDenied ? undefined : explain(refused, probe);
}

async function regionOf({ client, answer }: Probe): Promise<string> {
  return answer()?.region ?? `${await client.config.region()}, which it accepts`;
}

async function compareClocks(probe: Probe): Promise<CheckFinding> {
  const { sent = 0, received = 0, date } = probe.answer() ?? {};
  const refused = refusal(probe, 'store-clock');
  if (date === undefined)
    return refused === undefined
      ? warning('the store does not say what time it has', 'see that this clock is right: AWS refuses 15 minutes off')
      : failed('the store refuses it as too far off', SET_THE_CLOCK);
  // a date has whole seconds: the middle of that one
  const skew = (sent + received) / 2000 - (date / 1000 + 0.5);
  const seen = `${lengthOf(skew)} ${skew > 0 ? 'ahead of' : 'behind'} the store's`;
  if (refused !== undefined) return failed(`${seen}, which it refuses`, SET_THE_CLOCK);
  if (Math.abs(skew) > SKEW_SECONDS) return warning(seen, SET_THE_CLOCK);
  return ok(Math.abs(skew) < 2 ? "the store's, within 2 s" : seen);
}

function lengthOf(skew: number): string {
  const seconds = Math.round(Math.abs(skew));
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} minutes (${seconds} s)`;
}
