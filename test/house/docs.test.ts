import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { cli } from '../helpers/cli.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const root = join(import.meta.dirname, '../..');

test("the documentation's table of collectors is the registry's", async (t) => {
  const { stdout } = await cli(['collectors', '--markdown'], { home: await temporaryFolder(t) });
  const document = await readFile(join(root, 'docs/collectors.md'), 'utf8');
  assert.ok(document.includes(stdout), 'run: impound collectors --markdown');
});

test('every dependency has its reason in the documentation', async () => {
  const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  const document = await readFile(join(root, 'docs/dependencies.md'), 'utf8');
  for (const name of Object.keys(dependencies)) assert.ok(document.includes(`\`${name}\``), name);
});
