// A linter of others reads what is installed: whatever it has against it is ignored by name, for a reason that stands beside it.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { needs } from '../helpers/component.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { cacheDirectory, goPrograms, KUBERNETES } from '../testbed/components.ts';
import { BASE, MANIFESTS } from '../testbed/manifests.ts';
import { COMPONENTS, KUBECTL, writeOverlay } from './overlay.ts';

const execute = promisify(execFile);
const KUBE_SCORE = join(goPrograms(cacheDirectory()), 'kube-score');
const [MAJOR, MINOR] = KUBERNETES.split('.');
/** Off by default, and met. */
const MORE = ['container-seccomp-profile', 'container-ports-check'];
/** Of kube-score's grades: 1 is critical, 5 a warning. */
const GOOD = 10;

const CPU = 'CPU limit is not set';
const PULL = 'ImagePullPolicy is not set to Always';
/** All that is ignored, word for word: ignoring a check by its name must not hide a second thing that it finds. */
const IGNORED: Readonly<Record<string, readonly string[]>> = {
  'impound-controller container-resources': [CPU],
  'impound-controller container-image-pull-policy': [PULL],
  'impound-agent container-resources': [CPU],
  'impound-agent container-image-pull-policy': [PULL],
  'impound-agent container-security-context-user-group-id': [
    'The container is running with a low user ID',
    'The container running with a low group ID',
  ],
};

interface Scored {
  readonly object_meta: { readonly name: string };
  readonly checks: readonly {
    readonly check: { readonly id: string };
    readonly grade: number;
    readonly skipped: boolean;
    readonly comments: readonly { readonly summary: string }[] | null;
  }[];
}

/** Its findings by object and check. */
async function score(
  manifests: string,
  ...words: readonly string[]
): Promise<Readonly<Record<string, readonly string[]>>> {
  const optional = MORE.flatMap((name) => ['--enable-optional-test', name]);
  const version = `v${MAJOR}.${MINOR}`;
  const child = spawn(
    KUBE_SCORE,
    ['score', '--output-format=json', `--kubernetes-version=${version}`, ...optional, ...words, '-'],
    { stdio: ['pipe', 'pipe', 'inherit'], timeout: 30_000 },
  );
  child.stdin.end(manifests);
  const scored = JSON.parse(await text(child.stdout)) as readonly Scored[];
  assert.ok(scored.length >= 6, 'workloads, service, policies, budget');
  return Object.fromEntries(
    scored.flatMap(({ object_meta: { name }, checks }) =>
      checks
        .filter(({ grade, skipped }) => !skipped && grade < GOOD)
        .map(({ check, comments }) => [`${name} ${check.id}`, (comments ?? []).map(({ summary }) => summary)] as const),
    ),
  );
}

test('the linter has nothing against base and components but what is ignored by name', async (t) => {
  if (!needs(t, 'kube-score', 'kubernetes')) return;
  const folder = await temporaryFolder(t);
  assert.deepEqual(await readdir(join(MANIFESTS, 'components')), [...COMPONENTS]);
  for (const components of [[], ...COMPONENTS.map((name) => [name])]) {
    const { stdout } = await execute(KUBECTL, ['kustomize', await writeOverlay(folder, components)]);
    assert.deepEqual(await score(stdout), {}, components.join());
    assert.deepEqual(await score(stdout, '--disable-ignore-checks-annotations'), IGNORED, components.join());
  }
});

test('each check that is ignored has its reason in a comment beside it', async () => {
  const found: Record<string, readonly string[]> = {};
  for (const name of ['controller', 'agent']) {
    const lines = (await readFile(join(BASE, `${name}.yaml`), 'utf8')).split('\n');
    const at = lines.findIndex((line) => line.includes('kube-score/ignore:'));
    const checks = /kube-score\/ignore: (.+)$/.exec(lines[at] ?? '')?.[1]?.split(', ') ?? [];
    found[`impound-${name}`] = checks;
    // "CHECK: reason", one a line, above the annotation
    const above = lines.slice(at - checks.length, at);
    for (const [index, check] of checks.entries()) assert.match(above[index] ?? '', new RegExp(`# ${check}: .{20}`));
  }
  const expected = Object.groupBy(Object.keys(IGNORED), (key) => key.split(' ')[0] ?? '');
  for (const [name, keys = []] of Object.entries(expected))
    assert.deepEqual([...(found[name] ?? [])].sort(), keys.map((key) => key.split(' ')[1]).sort(), name);
});
