// What the person may: of each of the manifests' roles whether they have all of it.
import type { Connection } from '../connect.ts';
import { lacking } from '../rights.ts';
import { describeRights, grantOf, type Right, ROLES } from '../roles.ts';
import { type Finding, note, ok, trouble } from './finding.ts';

export async function yourFindings(connection: Connection): Promise<readonly Finding[]> {
  const { user, namespace } = connection;
  const key = (right: Right): string => JSON.stringify(Object.entries(right).sort());
  const all = new Map(ROLES.flatMap(({ rights }) => rights).map((right) => [key(right), right]));
  const missing = new Set((await lacking(connection, [...all.values()])).map(key));
  const has = (right: Right): boolean => !missing.has(key(right));
  if (!ROLES.some(({ own }) => has(own))) {
    const seen = `${user} may do nothing of what Impound's roles allow`;
    return [
      trouble(
        'you',
        seen,
        `ask a cluster administrator for one, such as: ${grantOf('impound-responder', user, namespace)}`,
      ),
    ];
  }
  return ROLES.map(({ name, own, rights }) => {
    const short = name.replace('impound-', '');
    if (!has(own)) return note(short, `no: you may not ${describeRights([own], namespace)}`);
    const lack = rights.filter((right) => !has(right));
    if (lack.length === 0) return ok(short, 'yes, all of it');
    return note(short, `in part: you may not ${describeRights(lack, namespace)}`, grantOf(name, user, namespace));
  });
}
