// Bundles whose maker is hostile: validly signed, and meant to hurt whoever reads them.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { type VerifyReport, verifyBundle } from '../../evidence/index.ts';
import { collector, type MadeBundle, makeBundle } from '../helpers/bundle.ts';
import { cli } from '../helpers/cli.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

/** A bundle that is sealed as it should be, around one artefact with these bytes. */
async function around(folder: string, path: string, bytes: Uint8Array): Promise<MadeBundle> {
  return await makeBundle(folder, [
    collector('hostile', async function* () {
      async function* content(): AsyncGenerator<Uint8Array> {
        yield bytes;
      }
      yield { kind: 'artefact', path, source: 'somebody', content: content() };
    }),
  ]);
}

async function tarOf(
  members: readonly { name: string; type?: 'link' | 'symlink' | 'file'; linkname?: string }[],
): Promise<Buffer> {
  const tar = pack();
  for (const member of members) tar.entry(member, '');
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function finding(report: VerifyReport): string {
  assert.equal(report.verdict, 'not intact');
  return report.findings.map(({ code, message }) => `${code}: ${message}`).join('\n');
}

test('an archive whose members lead out of their folder, or are links to others, is named', async (t) => {
  const folder = await temporaryFolder(t);
  for (const member of [
    { name: '../../outside' },
    { name: '/etc/cron.d/x' },
    { name: 'a', type: 'link' as const, linkname: '/etc/shadow' },
  ]) {
    const made = await around(folder, '60-file/layer.tar', await tarOf([member]));
    assert.match(finding(await verifyBundle(made.store)), /archive-altered: .*could leave its folder/);
  }
});

test('an archive without an inner manifest, or with another one, is named', async (t) => {
  const folder = await temporaryFolder(t);
  const none = await around(folder, '60-file/layer.tar', await tarOf([{ name: 'a' }]));
  assert.match(finding(await verifyBundle(none.store)), /it has no MANIFEST\.jsonl/);
  const tar = pack();
  tar.entry({ name: 'a', type: 'file' }, 'a');
  tar.entry(
    { name: 'MANIFEST.jsonl', type: 'file' },
    '{"path":"b","kind":"file","mode":420,"uid":0,"gid":0,"size":1}\n',
  );
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar as AsyncIterable<Uint8Array>) chunks.push(chunk);
  const other = await around(folder, '60-file/layer.tar', Buffer.concat(chunks));
  assert.match(finding(await verifyBundle(other.store)), /its members are not as MANIFEST\.jsonl lists them/);
});

test('a small archive that expands without end costs neither memory nor time', { timeout: 60_000 }, async (t) => {
  const folder = await temporaryFolder(t);
  const bomb = zstdCompressSync(Buffer.alloc(900 * 1024 * 1024));
  // stored under a name that the engine does not compress, then named as what it pretends to be
  const made = await around(folder, '60-file/layer.tar', Buffer.from('not even a tar'));
  await writeFile(join(made.path, 'data/60-file/layer.tar'), bomb);
  const before = process.memoryUsage().rss;
  assert.match(finding(await verifyBundle(made.store)), /payload-altered/);
  assert.ok(process.memoryUsage().rss - before < 100e6);
});

test('text from evidence cannot steer the terminal', async (t) => {
  const home = await temporaryFolder(t);
  const made = await makeBundle(home, [
    collector('\u001b[2Jhostile\u202e', async function* () {
      yield { kind: 'gap', reason: 'failed', name: '\u001b]0;owned\u0007', detail: '\u001b[31mred\u200b' };
    }),
  ]);
  for (const words of [
    ['ls', made.path],
    ['ls', made.path, '--custody'],
    ['verify', made.path],
  ]) {
    const { stdout } = await cli(words, { home });
    assert.doesNotMatch(stdout, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b\u202e]/);
  }
});
