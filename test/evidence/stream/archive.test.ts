import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstat, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { INNER_MANIFEST, type Member, type MemberRecord, tarArchive } from '../../../evidence/index.ts';
import { readTar } from '../../../evidence/stream/tar-reader.ts';
import { contentsOf } from '../../helpers/archive.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';

test('GNU tar extracts the members with mode, owner, nanosecond time and link target', async (t) => {
  const folder = await temporaryFolder(t);
  const mtime = 1_700_000_000_123_456_789n;
  await writeFile(
    join(folder, 'a.tar'),
    await archive([
      { name: 'etc', kind: 'directory', mode: 0o755 },
      { name: 'etc/passwd', mode: 0o640, uid: 3_000_000, gid: 7, mtime, content: Buffer.from('root') },
      { name: 'etc/link', kind: 'symlink', linkTarget: 'passwd' },
      { name: `long/${'x'.repeat(180)}/name`, content: Buffer.from('long') },
    ]),
  );
  execFileSync('tar', ['-xf', 'a.tar'], { cwd: folder });
  const stats = await lstat(join(folder, 'etc/passwd'), { bigint: true });
  assert.equal(stats.mode & 0o777n, 0o640n);
  assert.equal(stats.mtimeNs, mtime);
  if (process.getuid?.() === 0) assert.equal(stats.uid, 3_000_000n);
  assert.equal(await readlink(join(folder, 'etc/link')), 'passwd');
  const records = await manifestOf(await readFile(join(folder, 'a.tar')));
  assert.deepEqual(
    records.map(({ path, kind, size }) => [path, kind, size]),
    [
      ['etc', 'directory', 0],
      ['etc/passwd', 'file', 4],
      ['etc/link', 'symlink', 0],
      [`long/${'x'.repeat(180)}/name`, 'file', 4],
    ],
  );
});

test('a name that is no tar name is escaped, and the manifest has its exact bytes', async () => {
  const raw = Buffer.from([0x2f, 0xff, 0x0a, 0x2f, 0x2e, 0x2e, 0x2f, 0x61]); // "/\xff\n/../a"
  const records = await manifestOf(await archive([{ name: raw, content: Buffer.from('x') }, { name: INNER_MANIFEST }]));
  assert.equal(records[0]?.path, '%ff%0a/%2e%2e/a');
  assert.equal(records[0]?.nameBase64, raw.toString('base64'));
  assert.equal(records[1]?.path, `${INNER_MANIFEST}%2`);
});

test('whatever the names are, each member has a path of its own that stays in its folder', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 20 }), async (names) => {
      const records = await manifestOf(await archive(names.map((name) => ({ name }))));
      assert.equal(new Set(records.map(({ path }) => path)).size, names.length);
      for (const { path } of records) {
        assert.ok(!path.startsWith('/') && path.split('/').every((segment) => segment !== '..' && segment !== ''));
      }
    }),
  );
});

test('a source that shrinks is padded and marked, one that grows is cut and marked', async () => {
  async function* bytes(text: string): AsyncGenerator<Uint8Array> {
    yield Buffer.from(text);
  }
  const records = await manifestOf(
    await archive([
      { name: 'shrunk', content: { size: 10, bytes: bytes('123456') } },
      { name: 'grown', content: { size: 3, bytes: bytes('123456') } },
      { name: 'after', content: Buffer.from('still whole') },
    ]),
  );
  assert.deepEqual(
    records.map(({ path, size, padded, truncated }) => ({ path, size, padded, truncated })),
    [
      { path: 'shrunk', size: 10, padded: 4, truncated: 'source shrank while it was read' },
      { path: 'grown', size: 3, padded: undefined, truncated: 'source grew while it was read' },
      { path: 'after', size: 11, padded: undefined, truncated: undefined },
    ],
  );
});

test('a reader that stops early leaves nothing running', async () => {
  let ended = false;
  async function* endless(): AsyncGenerator<Member> {
    try {
      for (let number = 0; ; number++) yield { name: `${number}`, content: Buffer.alloc(100_000) };
    } finally {
      ended = true;
    }
  }
  for await (const _ of tarArchive(endless())) break;
  for (let tries = 0; tries < 50 && !ended; tries++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(ended);
});

test('a tar with an endless PAX header or a wrong checksum is refused in bounded memory', async () => {
  const tar = await archive([{ name: `${'n'.repeat(200)}/a`, content: Buffer.from('x') }]);
  const hostile = Buffer.from(tar);
  hostile.write('77777777777\0', 124, 'latin1');
  const sum = hostile
    .subarray(0, 512)
    .reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 32 : byte), 0);
  hostile.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  await assert.rejects(contentsOf(hostile), { code: 'content-damaged', message: /PAX header/ });
  const broken = Buffer.from(tar);
  broken.writeUInt8(7, 0);
  await assert.rejects(contentsOf(broken), { code: 'content-damaged' });
});

test('a tar that is refused, or left early, lets go of what it was read from', async () => {
  const tar = await archive([{ name: 'a', content: Buffer.alloc(5000) }, { name: 'b' }]);
  for (const bytes of [tar.subarray(0, 3000), tar]) {
    let released = 0;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (let start = 0; start < bytes.length; start += 512) yield bytes.subarray(start, start + 512);
      } finally {
        released++;
      }
    }
    const read = async (): Promise<void> => {
      for await (const { path, content } of readTar(source(), 'test.tar')) {
        if (bytes === tar && path === 'a') break;
        for await (const _ of content);
      }
    };
    await read().catch(() => undefined);
    assert.equal(released, 1);
  }
});

async function archive(list: readonly Member[]): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of tarArchive(list)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function manifestOf(tar: Buffer): Promise<readonly MemberRecord[]> {
  const manifest = (await contentsOf(tar)).get(INNER_MANIFEST)?.toString() ?? '';
  return manifest
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as MemberRecord);
}

test('times that no header holds, and a mode of 0, leave an archive that other tools read', async (t) => {
  const folder = await temporaryFolder(t);
  const members = [
    { name: 'before', mtime: -5_000_000_000n, content: Buffer.from('x') },
    { name: 'far', mtime: 10_000_000_000_000_000_000_000n, content: Buffer.from('x') },
    { name: 'closed', mode: 0, content: Buffer.from('x') },
  ];
  const chunks: Uint8Array[] = [];
  for await (const chunk of tarArchive(members)) chunks.push(chunk);
  await writeFile(join(folder, 'a.tar'), Buffer.concat(chunks));
  const listed = execFileSync('tar', ['-tvf', join(folder, 'a.tar')], {
    env: { ...process.env, TZ: 'UTC' },
  }).toString();
  assert.match(listed, /1969-12-31 23:59 before/);
  assert.match(listed, /far/);
  assert.match(listed, /^---------- .* closed$/m);
});

test('an archive whose members end with an error while some of them wait gives that error, and ends nothing else', async () => {
  const failing = async function* () {
    for (let number = 0; number < 20; number++) yield { name: `m${number}`, content: Buffer.alloc(10_000) };
    throw new Error('stopped');
  };
  await assert.rejects(async () => {
    for await (const _ of tarArchive(failing())) await new Promise((resolve) => setTimeout(resolve, 5));
  }, /stopped/);
});
