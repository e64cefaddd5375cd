// Who sits at this machine, as custody entries name the person.
import { hostname, userInfo } from 'node:os';
import type { Actor, Store } from '../evidence/index.ts';
import type { StoreAccess } from './bundle.ts';

/** The login name, and behind sudo the one who called it: the machine's word, since nothing else vouches for it here. */
export function localActor(env: NodeJS.ProcessEnv = process.env): Actor {
  return { kind: 'person', name: userName(env), node: hostname() };
}

/**
 * Whom AWS knows, where the store is there and says so; else as localActor(). A server that only speaks as S3 does has
 * credentials of its own, which are nobody's at AWS and none of its business.
 */
export async function actorFor({ url }: Store, { endpoint, region }: StoreAccess = {}): Promise<Actor> {
  const local = localActor();
  const { AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL_STS } = process.env;
  const elsewhere = (endpoint ?? AWS_ENDPOINT_URL_S3) !== undefined;
  const asked = !elsewhere || (AWS_ENDPOINT_URL_STS ?? AWS_ENDPOINT_URL) !== undefined;
  if (!url.startsWith('s3://') || !asked) return local;
  const { callerIdentity } = await import('../cloud/index.ts');
  const identity = await callerIdentity(region);
  return identity === undefined ? local : { ...local, name: identity };
}

function userName(env: NodeJS.ProcessEnv): string {
  const name = uidName();
  return env.SUDO_USER === undefined || env.SUDO_USER === name ? name : `${env.SUDO_USER} (as ${name})`;
}

function uidName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`; // a uid without an entry in passwd
  }
}
