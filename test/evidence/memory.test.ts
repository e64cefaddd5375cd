import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureMemory } from '../../bench/memory.ts';

const GIBIBYTES = process.env.IMPOUND_SOAK === undefined ? 1 : 12;

test(`an artefact of ${GIBIBYTES} GiB is archived, compressed, stored and verified in under 200 MB`, async (t) => {
  const measured = await measureMemory(GIBIBYTES);
  t.diagnostic(measured.figure);
  assert.ok(measured.met, measured.figure);
});
