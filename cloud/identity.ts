// Who AWS says is asking: the name under which a person's access goes on the chain.
import { within } from '../evidence/index.ts';
import { clientSettings } from './client.ts';

/** A custody entry can name a person without AWS too, and must not wait for it. */
const BOUND_MILLISECONDS = 3000;
/** Where no region is set: any region of the commercial partition knows all its callers. */
const FALLBACK_REGION = 'us-east-1';

/**
 * The caller's ARN, as STS authenticated it: `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`. Undefined where there
 * are no credentials, or no answer within 3 s. Asks the region's own endpoint: the store's, where it is given.
 */
export async function callerIdentity(region?: string): Promise<string | undefined> {
  const { GetCallerIdentityCommand, STSClient } = await import('@aws-sdk/client-sts');
  const ended = new AbortController();
  let client = new STSClient(clientSettings(region));
  try {
    const ask = async (): Promise<string | undefined> => {
      const known = await client.config.region().catch(() => undefined);
      if (known === undefined) client = new STSClient(clientSettings(FALLBACK_REGION));
      const { Arn } = await client.send(new GetCallerIdentityCommand({}), { abortSignal: ended.signal });
      return Arn;
    };
    // every failure is the same answer: AWS does not say who this is. The bound is also for credentials, which the
    // SDK may look for in the instance's metadata and whose search it does not let anybody stop
    const nobody = (): undefined => undefined;
    return await within(ask().catch(nobody), BOUND_MILLISECONDS, nobody);
  } finally {
    ended.abort();
    client.destroy();
  }
}
