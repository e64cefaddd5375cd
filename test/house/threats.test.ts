import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const CITATION = /`(test\/[\w/.-]+\.test\.ts)` "([^"]+)"/g;
/** What is announced by a name that is put together has no whole title. */
const TITLE = /(?:test|scenario)\(\s*(?:'((?:[^'\\]|\\.)*)'|`([^`]*)`|"([^"]*)")/g;

test('every "cannot" of the threat model names tests, and they are there', async () => {
  const lines = (await readFile(join(root, 'docs/threat-model.md'), 'utf8')).split('\n');
  const rows = lines.filter((line) => line.startsWith('| ') && !line.startsWith('| cannot'));
  assert.ok(rows.length > 25);
  for (const row of rows) {
    const cited = [...row.matchAll(CITATION)];
    assert.ok(cited.length > 0, row);
    for (const [, file = '', words = ''] of cited) {
      assert.ok(existsSync(join(root, file)), file);
      const text = await readFile(join(root, file), 'utf8');
      const titles = [...text.matchAll(TITLE)].map(
        ([, single, template, double]) => single ?? template ?? double ?? '',
      );
      assert.ok(
        titles.some((title) => title.includes(words)),
        `${file} has no test "${words}"`,
      );
    }
  }
});
