// The environment that the SDK reads: credentials that any server of moto takes, and nothing of this machine's own.
import type { Scope } from '../testbed/http-daemon.ts';

/** No profile, no instance metadata: what a test does not name, the SDK does not find. */
const BASE: Readonly<Record<string, string | undefined>> = {
  AWS_ACCESS_KEY_ID: 'test',
  AWS_SECRET_ACCESS_KEY: 'test',
  AWS_SESSION_TOKEN: undefined,
  AWS_PROFILE: undefined,
  AWS_REGION: undefined,
  AWS_DEFAULT_REGION: undefined,
  AWS_ENDPOINT_URL: undefined,
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_CONTAINER_CREDENTIALS_FULL_URI: undefined,
  AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: undefined,
  AWS_WEB_IDENTITY_TOKEN_FILE: undefined,
};

/** Until `scope` ends; undefined takes a variable away. */
export function setEnvironment(scope: Scope, variables: Readonly<Record<string, string | undefined>>): void {
  const wanted = { ...BASE, ...variables };
  const before = Object.fromEntries(Object.keys(wanted).map((name) => [name, process.env[name]]));
  assign(wanted);
  scope.after(async () => assign(before));
}

function assign(variables: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}
