// Whether a person may what they ask for, as the API server says; the refusal names the right.
import type { Identities, PersonIdentity } from '../http/identity.ts';
import { Problem } from '../http/problem.ts';

/** Throws a Problem 403. `name` of a capture, `subresource` of nodecaptures, where it is of one only. */
export async function assertMay(
  identities: Identities,
  person: PersonIdentity,
  verb: string,
  subresource?: string,
  name?: string,
): Promise<void> {
  if (await identities.may(person, verb, subresource, name)) return;
  const what = `nodecaptures${subresource === undefined ? '' : `/${subresource}`}`;
  const detail = `this needs the right "${verb}" on ${what}${name === undefined ? '' : ` of ${name}`}`;
  throw new Problem(403, 'forbidden', detail);
}
