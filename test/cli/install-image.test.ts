// impound install --render from the command line's image, where what was built has its manifests beside it.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chown, cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { cli } from '../helpers/cli.ts';
import { needs } from '../helpers/component.ts';
import { mountFolder } from '../helpers/temporary.ts';
import { startDockerd } from '../testbed/dockerd.ts';
import { builtImages, IMAGE_COMPONENTS, imageReference } from '../testbed/image.ts';

const execute = promisify(execFile);
/** As the Dockerfile has it. */
const NOBODY = 65532;
const WORDS = [
  ...['install', '--render', '--cluster', 'lab', '--component', 'volume'],
  ...['--registry', 'registry.example.com', '--tag', '1.2.3'],
];

test('the image prints what the sources print, with keys in a folder that it is given', async (t) => {
  if (!needs(t, ...IMAGE_COMPONENTS)) return;
  const { cli: archive } = await builtImages();
  const dockerd = await startDockerd();
  t.after(() => dockerd.stop());
  await dockerd.docker('load', '--quiet', '--input', archive);
  const home = await mountFolder(t);
  const keys = join(home, 'keys');
  await mkdir(keys, { mode: 0o700 });
  await chown(keys, NOBODY, NOBODY);
  const lockedDown = ['--rm', '--network', 'none', '--read-only', '--cap-drop', 'ALL', '-v', `${keys}:/keys`];
  const args = ['run', ...lockedDown, imageReference('cli'), ...WORDS, '--keys', '/keys'];
  const env = { ...process.env, DOCKER_HOST: `unix://${dockerd.socket}`, DOCKER_CONFIG: home };
  const { stdout, stderr } = await execute('docker', args, { env, maxBuffer: 16 * 1024 * 1024 });
  assert.match(stderr, /made in \/keys: the signing key, an authority/);
  const copy = join(home, 'copy');
  await cp(keys, copy, { recursive: true });
  await execute('chown', ['-R', String(process.getuid?.()), copy]);
  const sources = await cli([...WORDS, '--keys', copy], { home });
  assert.equal(sources.code, 0, sources.stderr);
  assert.equal(sources.stdout, stdout);
  await rm(keys, { recursive: true });
});
