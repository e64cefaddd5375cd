// What the command line says that a role gives is what the manifests' role gives.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeRights, grantOf, POLICIES, type Right, ROLES } from '../../cli/cluster/roles.ts';
import { readManifests } from '../protocol/rights.ts';
import { BASE } from '../testbed/manifests.ts';

const NAMESPACE = 'impound-system';

/** As rbac.yaml has them, ClusterRole and Role of one name together. */
async function manifestRights(role: string): Promise<readonly string[]> {
  const own = (await readManifests(join(BASE, 'rbac.yaml'))).filter(({ metadata }) => metadata.name === role);
  const rights = own.flatMap(({ kind, rules = [] }) =>
    rules.flatMap(({ apiGroups, resources, resourceNames = [''], verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) =>
          resourceNames.flatMap((name) =>
            verbs.map((verb) => [kind === 'Role', verb, group, resource, name].join(' ')),
          ),
        ),
      ),
    ),
  );
  return rights.sort();
}

function text({ system, verb, group = 'impound.dev', resource = 'nodecaptures', subresource, name = '' }: Right) {
  return [system === true, verb, group, subresource === undefined ? resource : `${resource}/${subresource}`, name].join(
    ' ',
  );
}

test('each role is written down as the manifests have it', async () => {
  for (const { name, rights, own } of ROLES) {
    const known = [...new Set(rights.map(text))].sort();
    assert.deepEqual(known, await manifestRights(name), name);
    assert.ok(known.includes(text(own)), name);
  }
  const policies = await readManifests(join(BASE, 'policies.yaml'));
  assert.deepEqual([...POLICIES], [...new Set(policies.map(({ metadata }) => metadata.name))]);
});

test('an administrator is told two commands where a role has two parts, in words that a shell takes', () => {
  assert.equal(
    grantOf('impound-analyst', 'system:serviceaccount:ci:anna', NAMESPACE),
    'kubectl create clusterrolebinding system-serviceaccount-ci-anna-impound-analyst --clusterrole=impound-analyst --serviceaccount=ci:anna; kubectl -n impound-system create rolebinding system-serviceaccount-ci-anna-impound-analyst --role=impound-analyst --serviceaccount=ci:anna',
  );
  assert.equal(
    grantOf('impound-releaser', "o'neil", NAMESPACE),
    "kubectl create clusterrolebinding o-neil-impound-releaser --clusterrole=impound-releaser --user='o'\\''neil'",
  );
});

test('rights are said by what they are on', () => {
  const pods = { group: '', resource: 'pods', system: true } as const;
  const rights = [
    { verb: 'create' },
    { verb: 'get' },
    { verb: 'list', ...pods },
    { verb: 'get', subresource: 'bundle' },
  ];
  assert.equal(
    describeRights(rights, NAMESPACE),
    'create or get nodecaptures.impound.dev, nor list pods in impound-system, nor get nodecaptures.impound.dev/bundle',
  );
});
