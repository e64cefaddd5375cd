// Object Lock: is it on, does it take what captures ask for, does it hold. Nothing is locked for longer than minutes:
// the retention and the hold that captures ask for are tried on uploads that are never completed.
import {
  DeleteObjectCommand,
  GetObjectLockConfigurationCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  type ObjectLockConfiguration,
} from '@aws-sdk/client-s3';
import { type Check, type CheckFinding, failed, ok, skipped, warning } from '../check.ts';
import { objectKey, type Probe } from './check-probe.ts';
import { ANOTHER_STORE, explain, messageOf, reasonOf } from './check-remedy.ts';
import { causeOf, isNamed, statusOf } from './error.ts';
import type { Protection } from './protection.ts';

const TURN_ON = 'turn Object Lock on for the bucket (manifests/aws/evidence-bucket.yaml makes one)';

/** Before anything is written: whether the bucket locks. */
export function lockCheck({ retention, legalHold }: Protection): Check<Probe> {
  const wanted = retention !== undefined || legalHold === true;
  return {
    name: 'Object Lock',
    tried: 'GetObjectLockConfiguration',
    needed: wanted,
    after: ['bucket'],
    run: (probe) => seeLock(probe, wanted),
  };
}

/** On the probe that was written: what captures ask for. */
export function protectionChecks({ retention, legalHold, kmsKey }: Protection): readonly Check<Probe>[] {
  const checks: readonly (Check<Probe> | false)[] = [
    retention !== undefined && {
      name: 'retention',
      tried: `CreateMultipartUpload with ${retention.mode} for ${retention.days} days`,
      needed: true,
      after: ['write'],
      run: (probe) => tryLock(probe, { retention }, 'PutObjectRetention'),
    },
    legalHold === true && {
      name: 'legal hold',
      tried: 'CreateMultipartUpload with a legal hold',
      needed: true,
      after: ['write'],
      run: (probe) => tryLock(probe, { legalHold }, 'PutObjectLegalHold'),
    },
    retention !== undefined && {
      name: 'the lock holds',
      tried: "DeleteObject on the probe's locked version",
      needed: true,
      after: ['write', 'versions', 'retention'],
      run: tryDelete,
    },
    kmsKey !== undefined && {
      name: 'KMS encryption',
      tried: 'HeadObject',
      needed: true,
      after: ['write', 'read'],
      run: seeEncryption,
    },
  ];
  return checks.filter((check) => check !== false);
}

async function seeLock(probe: Probe, wanted: boolean): Promise<CheckFinding> {
  const lock = await lockOf(probe);
  if (lock?.ObjectLockEnabled !== 'Enabled') {
    probe.found.unlocked = true;
    return wanted
      ? failed('off, and it was asked for', `${TURN_ON}, or leave --retain and --legal-hold away`)
      : warning('off: whoever may delete objects can remove evidence', TURN_ON);
  }
  const { Mode, Days, Years } = lock.Rule?.DefaultRetention ?? {};
  if (Mode !== undefined) {
    probe.found.defaultRetention = `${Mode} for ${Days === undefined ? `${Years} years` : `${Days} days`}`;
    return ok(`on; by default ${probe.found.defaultRetention}`);
  }
  if (wanted) return ok('on; by default nothing is locked');
  return warning('on, but nothing is locked', 'capture with --retain DAYS, or give the bucket a default retention');
}

/** Undefined where there is none, or no such thing. */
function lockOf({ plain, bucket }: Probe): Promise<ObjectLockConfiguration | undefined> {
  return plain.attempt('GetBucketObjectLockConfiguration', undefined, async (client) => {
    try {
      const answer = await client.send(new GetObjectLockConfigurationCommand({ Bucket: bucket }));
      return answer.ObjectLockConfiguration;
    } catch (error) {
      if (isNamed(error, 'ObjectLockConfigurationNotFoundError') || statusOf(causeOf(error)) === 501) return undefined;
      throw error;
    }
  });
}

async function tryLock(probe: Probe, protection: Protection, action: string): Promise<CheckFinding> {
  if (probe.found.unlocked === true) return skipped('not tried: the bucket has no Object Lock');
  try {
    await probe.with(protection).createUpload(probe.keys.parts);
  } catch (error) {
    const { seen, remedy } = explain(error, probe, action);
    const more = action === 'PutObjectRetention' ? '; a policy may also demand more days, or another mode' : '';
    return failed(seen, `${remedy}${more}`);
  }
  probe.found.uploads++;
  return ok('the store accepts it');
}

/** A refusal for want of permission says nothing of the lock; then it is at least seen that there is one. */
async function tryDelete(probe: Probe): Promise<CheckFinding> {
  const { plain, bucket, found } = probe;
  const { key = '', versionId, protection } = found.object ?? {};
  if (versionId === undefined) return skipped('not tried: the bucket keeps no versions');
  if (protection?.retention === undefined)
    return skipped(`not tried: no lock of minutes is taken here${reasonOf(found.briefRefused)}`);
  const command = new DeleteObjectCommand({ Bucket: bucket, Key: key, VersionId: versionId });
  try {
    await plain.attempt('DeleteObjectVersion', key, (client) => client.send(command));
  } catch (error) {
    if (/lock|retention|retain|worm/i.test(messageOf(error))) return ok(`removal refused: ${messageOf(error)}`);
    if (statusOf(causeOf(error)) !== 403) return explain(error, probe);
    const { ObjectLockMode, ObjectLockRetainUntilDate } = await headOf(probe);
    if (ObjectLockMode === undefined)
      return warning(
        'this identity may not delete, nor does it see a lock',
        'as it should be; who may s3:GetObjectRetention sees the lock',
      );
    const until = ObjectLockRetainUntilDate?.toISOString() ?? '';
    return ok(`${ObjectLockMode} until ${until}; not put to the test: this identity may not delete, as it should be`);
  }
  found.objects--;
  return failed('a version that was locked could be removed', ANOTHER_STORE);
}

async function seeEncryption(probe: Probe): Promise<CheckFinding> {
  const { ServerSideEncryption, SSEKMSKeyId } = await headOf(probe);
  if (ServerSideEncryption?.startsWith('aws:kms')) return ok(`${ServerSideEncryption} with ${SSEKMSKeyId ?? 'a key'}`);
  const seen = ServerSideEncryption ?? 'nothing';
  return failed(`asked for, and the store shows ${seen}`, `leave --sse-kms away, or ${ANOTHER_STORE}`);
}

function headOf({ plain, bucket, found }: Probe): Promise<HeadObjectCommandOutput> {
  const command = new HeadObjectCommand({ Bucket: bucket, Key: objectKey(found) });
  return plain.attempt('GetObject', objectKey(found), (client) => client.send(command));
}
