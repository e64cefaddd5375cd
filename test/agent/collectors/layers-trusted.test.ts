// The marks of overlays are trusted attributes: who may not see them is told by the kernel that there are none.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { moduleAt, without } from '../../helpers/capabilities.ts';
import type { Collected } from '../../helpers/collect.ts';
import { needs } from '../../helpers/component.ts';
import { needsRoot, smallDisk } from '../../helpers/small-disk.ts';

const GAP = 'trusted attributes of overlays';

interface Told {
  readonly gaps: Collected['gaps'];
  /** Kind of change by path. */
  readonly changes: Readonly<Record<string, string>>;
}

/** Two containers whose folders are below `root`, by a process without `capability`. */
async function toldWithout(t: TestContext, capability: string, root: string, userxattr: boolean): Promise<Told> {
  const layer = { upper: join(root, 'upper'), lower: [join(root, 'lower')], userxattr };
  const other = { ...layer, upper: join(root, 'other') };
  const containers = [
    { id: 'made', engine: 'docker', running: false, layer },
    { id: 'other', engine: 'docker', running: false, layer: other },
  ];
  return (await without(
    t,
    capability,
    `import { collect, rowsOf } from ${moduleAt('test/helpers/collect.ts')};
    import { layers } from ${moduleAt('agent/collectors/layers.ts')};
    const containers = ${JSON.stringify(containers)};
    const { artefacts, gaps } = await collect(layers, { containers: async () => ({ containers, gaps: [] }) });
    const rows = rowsOf(artefacts.get('30-container/layers/drift.jsonl'));
    const changes = Object.fromEntries(rows.map(({ file, impound }) => [file.path, impound.change]));
    console.log(JSON.stringify({ gaps, changes }));`,
  )) as Told;
}

/** A folder of the lower layer that the upper one has made anew, in a real overlay. */
async function madeAnew(t: TestContext, options: string): Promise<string> {
  const root = await smallDisk(t, 8);
  for (const name of ['upper', 'lower', 'other', 'work', 'merged', 'lower/etc']) mkdirSync(join(root, name));
  writeFileSync(join(root, 'lower/etc/conf'), 'old');
  const merged = join(root, 'merged');
  const at = `${options}lowerdir=${root}/lower,upperdir=${root}/upper,workdir=${root}/work`;
  execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', at, merged]);
  try {
    execFileSync('sh', ['-c', 'rm -r "$1" && mkdir "$1" && echo new >"$1/conf"', 'sh', join(merged, 'etc')]);
  } finally {
    execFileSync('umount', [merged]);
  }
  return root;
}

test('without CAP_SYS_ADMIN no folder is called opaque, and that is said once', { skip: needsRoot }, async (t) => {
  if (!needs(t, 'getfattr')) return;
  const root = await madeAnew(t, '');
  const less = await toldWithout(t, 'sys_admin', root, false);
  assert.deepEqual(less.changes, { '/etc': 'metadata', '/etc/conf': 'changed' });
  assert.deepEqual(
    less.gaps.map(({ reason, name }) => [reason, name]),
    [['denied', GAP]],
  );
  assert.match(less.gaps[0]?.detail ?? '', /CAP_SYS_ADMIN.*opaque/);
  const whole = await toldWithout(t, 'net_raw', root, false);
  assert.deepEqual([whole.changes, whole.gaps], [{ '/etc': 'opaque', '/etc/conf': 'added' }, []]);
});

test('marks that are user attributes need no capability: nothing is missed', { skip: needsRoot }, async (t) => {
  if (!needs(t, 'getfattr')) return;
  const root = await madeAnew(t, 'userxattr,');
  const less = await toldWithout(t, 'sys_admin', root, true);
  assert.deepEqual([less.changes, less.gaps], [{ '/etc': 'opaque', '/etc/conf': 'added' }, []]);
});
