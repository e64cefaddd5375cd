// What `make cluster-demo` runs, from nothing to nothing.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { ended } from '../helpers/cli.ts';
import { needs } from '../helpers/component.ts';
import { INSTALLED_COMPONENTS } from '../testbed/installed.ts';

test('a node with an intruder is captured, pulled, verified and given back, step by step', async (t) => {
  if (!needs(t, ...INSTALLED_COMPONENTS)) return;
  const program = join(import.meta.dirname, 'cluster.ts');
  const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill());
  const { code, stdout, stderr } = await ended(child);
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  assert.match(stdout, /\nall of it worked\n$/);
  const steps = [...stdout.matchAll(/^(\d+)\/10 {2}/gm)].map(([, number]) => Number(number));
  assert.deepEqual(steps, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});
