import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureMemory } from '../../bench/memory.ts';

test('an artefact of 1 GiB is archived, compressed, stored and verified in under 200 MB', async (t) => {
  const measured = await measureMemory(process.env.IMPOUND_SOAK === undefined ? 1 : 12);
  t.diagnostic(measured.figure);
  assert.ok(measured.met, measured.figure);
});
