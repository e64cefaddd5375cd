// The images as they are built of the Dockerfile: what they run as, what is in them, and what is not.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { access, readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { PROGRAMS } from '../../agent/programs/list.ts';
import type { RecordedProgram } from '../../manifests/image/programs.ts';
import { missing } from '../helpers/component.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { cacheDirectory, pythonEnvironment } from '../testbed/components.ts';
import { type Dockerd, startDockerd } from '../testbed/dockerd.ts';
import { type BuiltImages, builtImages, IMAGE_COMPONENTS, imageReference } from '../testbed/image.ts';
import { type OpenedImage, openImage } from './opened.ts';

const MEGABYTE = 1_000_000;
/** Measured: see docs/image.md. Node alone is 127. */
const LARGEST = { controller: 200 * MEGABYTE, agent: 230 * MEGABYTE };
const ROOT = join(import.meta.dirname, '../..');
const APPLICATION = 'opt/impound';
const RECORDS = 'usr/share/impound';
const LOCKED_DOWN = ['--rm', '--network', 'none', '--read-only', '--cap-drop', 'ALL'];
const NO_NEW = ['--security-opt', 'no-new-privileges'];
const execute = promisify(execFile);

const reason = missing([...IMAGE_COMPONENTS, 'spdx-tools']);
if (reason !== undefined && process.env.CI === 'true') throw new Error(reason);

const folder = await fileTemporaryFolder();

suite('the images', { skip: reason ?? false, timeout: 900_000 }, () => {
  let archives: BuiltImages;
  let dockerd: Dockerd;
  let controller: OpenedImage;
  let agent: OpenedImage;

  before(async () => {
    archives = await builtImages();
    dockerd = await startDockerd();
    for (const image of ['controller', 'agent', 'cli'] as const) {
      await dockerd.docker('load', '--quiet', '--input', archives[image]);
    }
    const open = (image: 'controller' | 'agent'): Promise<OpenedImage> =>
      openImage(dockerd, {
        archive: archives[image],
        reference: imageReference(image),
        folder: join(folder, image),
      });
    [controller, agent] = await Promise.all([open('controller'), open('agent')]);
  });

  after(async () => {
    await dockerd?.stop();
  });

  /** Ends with 0 or not. */
  const run = async (image: OpenedImage | string, ...words: readonly string[]) => {
    const reference = typeof image === 'string' ? image : image.reference;
    const all = ['run', ...LOCKED_DOWN, ...NO_NEW, ...words.slice(0, words.indexOf('--')), reference];
    const args = [...all, ...words.slice(words.indexOf('--') + 1)];
    const options = { env: { ...process.env, DOCKER_HOST: `unix://${dockerd.socket}`, DOCKER_CONFIG: folder } };
    return await execute('docker', args, options).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
  };
  const evaluate = async (image: OpenedImage, program: string): Promise<unknown> => {
    const words = ['--entrypoint', '/usr/bin/node', '--', '--input-type=module', '--eval', program];
    const { code, stdout, stderr } = await run(image, ...words);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };

  test('the controller runs as nobody in particular, without a capability, and says how it is used', async () => {
    assert.equal(controller.config.config.User, '65532:65532');
    const { code, stderr } = await run(controller, '--', '--help');
    assert.equal(code, 64, stderr);
    assert.match(stderr, /--config FILE/);
    const who = (await evaluate(
      controller,
      `import { readFileSync } from 'node:fs';
       const status = readFileSync('/proc/self/status', 'utf8');
       console.log(JSON.stringify([process.getuid(), process.getgid(), /CapEff:\\s*(\\w+)/.exec(status)[1]]))`,
    )) as unknown;
    assert.deepEqual(who, [65532, 65532, '0000000000000000']);
  });

  test('every module of both programs can be loaded', async () => {
    for (const image of [controller, agent]) {
      const loaded = await evaluate(image, LOAD_ALL);
      assert.deepEqual((loaded as { failed: string[] }).failed, []);
      assert.ok((loaded as { count: number }).count > 100);
    }
  });

  test('the agent starts with what it is given, and says how it is used', async () => {
    const { code, stderr } = await run(agent, '--', '--nonsense');
    assert.equal(code, 64, stderr);
  });

  test('the command line is the same files as the controller, and verifies as nobody in particular', async () => {
    const { code, stdout, stderr } = await run(imageReference('cli'), '--', '--help');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /verify/);
    const layers = '{{json .RootFS.Layers}}';
    const inspect = (image: 'cli' | 'controller'): Promise<string> =>
      dockerd.docker('image', 'inspect', '--format', layers, imageReference(image));
    assert.equal(await inspect('cli'), await inspect('controller'));
  });

  test('the agent finds all its programs, as they were recorded when the image was built', async () => {
    const recorded = JSON.parse(
      await readFile(join(agent.root, RECORDS, 'programs.json'), 'utf8'),
    ) as RecordedProgram[];
    assert.deepEqual(
      recorded.map(({ name }) => name),
      PROGRAMS.map(({ name }) => name),
    );
    const found = (await evaluate(agent, FOOTPRINTS)) as { name: string; detail: string }[];
    const expected = recorded.map(({ path, version, sha256 }) => ({
      name: path,
      detail: version === '' ? `sha256:${sha256}` : `${version}, sha256:${sha256}`,
    }));
    assert.deepEqual(found, expected);
    for (const { package: name, packageVersion } of recorded) {
      const status = await readFile(join(agent.root, 'var/lib/dpkg/status.d', name), 'utf8');
      assert.ok(status.includes(`\nVersion: ${packageVersion}\n`), name);
    }
  });

  test('nothing in the controller can be run but Node; nothing in either is a shell or changes who runs it', async () => {
    const programs = async ({ root }: OpenedImage): Promise<string[]> =>
      [...(await readdir(join(root, 'usr/bin'))), ...(await readdir(join(root, 'usr/sbin')))].sort();
    assert.deepEqual(await programs(controller), ['node']);
    for (const name of ['sh', 'bash', 'dash', 'perl', 'python3', 'apt-get', 'dpkg', 'su', 'mount', 'env']) {
      assert.ok(!(await programs(agent)).includes(name), name);
    }
    for (const { root } of [controller, agent]) {
      const { stdout } = await execute('find', [root, '-type', 'f', '-perm', '/6000']);
      assert.equal(stdout, '');
      const { stdout: writable } = await execute('find', [
        root,
        '-perm',
        '/022',
        '!',
        '-type',
        'l',
        '!',
        '-perm',
        '-1000',
      ]);
      assert.equal(writable, '');
    }
  });

  test('Node is the one of package.json, as it was released', async () => {
    const { devDependencies } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
      devDependencies: Record<string, string>;
    };
    for (const image of [controller, agent]) {
      assert.equal(await evaluate(image, 'console.log(JSON.stringify(process.versions.node))'), devDependencies.node);
    }
    assert.equal(devDependencies.node, process.versions.node, 'the tests run on it too');
    const [ours, theirs] = await Promise.all([join(controller.root, 'usr/bin/node'), process.execPath].map(digestOf));
    assert.equal(ours, theirs);
  });

  test('no development dependency, no cache, no documentation, no source map', async () => {
    const { packages } = JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { dev?: boolean }>;
    };
    for (const { root } of [controller, agent]) {
      const here = await npmFolders(root);
      assert.ok(here.length > 100);
      assert.deepEqual(
        here.filter((path) => packages[path] === undefined || packages[path].dev),
        [],
      );
      for (const path of [
        'root/.npm',
        'var/cache/apt',
        'var/lib/apt',
        'var/lib/dpkg/status',
        'etc/apt',
        'src',
        'image',
      ]) {
        await assert.rejects(access(join(root, path)), { code: 'ENOENT' }, path);
      }
      const unwanted = ['*.map', '*.d.ts', '*.ts', '.npmrc', '.package-lock.json', '*.deb', '*.pem', '*.key'];
      const names = unwanted.flatMap((name) => ['-o', '-name', name]).slice(1);
      const { stdout } = await execute('find', [root, '(', ...names, ')']);
      assert.equal(stdout, '');
    }
  });

  test('nothing says where packages were taken from', async () => {
    const registry = new URL((await execute('npm', ['config', 'get', 'registry'])).stdout.trim()).host;
    const { stdout } = await execute('apt-get', ['indextargets', '--format', '$(SITE)', 'Created-By: Packages']);
    const mirrors = stdout.split('\n').flatMap((site) => (site === '' ? [] : [new URL(site).host]));
    for (const { config, root } of [controller, agent]) {
      const text = JSON.stringify(config);
      assert.doesNotMatch(text, /NPM_CONFIG|APT_MIRROR|EXTRA_CA|BEGIN CERTIFICATE/);
      for (const host of new Set([registry, ...mirrors])) {
        assert.ok(!text.includes(host), host);
        // ends with 1 where nothing is found
        const found = await execute('grep', ['-rlF', host, root]).catch((error: { stdout: string }) => error);
        // Node's licence names the public registry, among many others
        assert.equal(found.stdout.replace(`${root}/usr/share/doc/nodejs/copyright\n`, ''), '');
      }
    }
  });

  test('the SBOM names every package of npm and of Debian that is there, and another reader takes it', async () => {
    for (const image of [controller, agent]) {
      const file = join(image.root, RECORDS, 'sbom.spdx.json');
      const { packages } = JSON.parse(await readFile(file, 'utf8')) as {
        packages: { externalRefs: { referenceLocator: string }[] }[];
      };
      const listed = new Set(packages.flatMap(({ externalRefs }) => externalRefs.map((one) => one.referenceLocator)));
      const expected = new Set(await packageUrls(image.root));
      const others = [...listed].filter((purl) => !/^pkg:(oci|generic)\//.test(purl));
      assert.deepEqual(others.sort(), [...expected].sort());
      assert.ok(listed.has(`pkg:generic/nodejs@${process.versions.node}`));
      await execute(join(pythonEnvironment(cacheDirectory()), 'bin/pyspdxtools'), ['--infile', file]);
    }
  });

  test('labels say what it is; the layers below the programs are shared; neither is larger than it was', async (t) => {
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    for (const [name, image] of Object.entries({ controller, agent })) {
      const { Labels = {}, Env = [] } = image.config.config;
      assert.equal(Labels['org.opencontainers.image.title'], `impound-${name}`);
      assert.equal(Labels['org.opencontainers.image.version'], version);
      assert.equal(Labels['org.opencontainers.image.licenses'], 'Apache-2.0');
      assert.match(Labels['org.opencontainers.image.created'] ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      assert.ok(Env.includes('MALLOC_ARENA_MAX=2') && Env.includes('MALLOC_MMAP_THRESHOLD_=131072'));
      const most = LARGEST[name as keyof typeof LARGEST];
      t.diagnostic(`${name}: ${(image.size / MEGABYTE).toFixed(1)} MB`);
      assert.ok(image.size < most, `${name}: ${image.size} bytes, more than ${most}`);
    }
    const [ours, theirs] = [controller, agent].map(({ config }) => config.rootfs.diff_ids.slice(0, 2));
    assert.deepEqual(ours, theirs);
  });
});

/** Program texts for Node within a container. */
const LOAD_ALL = `
  import { readdirSync } from 'node:fs';
  const files = readdirSync('/${APPLICATION}/dist', { recursive: true })
    .filter((name) => name.endsWith('.js') && !/(^|\\/)main\\.js$|-worker\\.js$/.test(name));
  const failed = [];
  for (const file of files) {
    await import('/${APPLICATION}/dist/' + file).catch((error) => failed.push(file + ': ' + error.message));
  }
  console.log(JSON.stringify({ count: files.length, failed }));
  process.exit(0);`;
const FOOTPRINTS = `
  import { programs } from '/${APPLICATION}/dist/agent/programs/run.js';
  import { PROGRAMS } from '/${APPLICATION}/dist/agent/programs/list.js';
  const items = [];
  const all = programs((item) => item.kind === 'program' && items.push({ name: item.name, detail: item.detail }));
  for (const { name } of PROGRAMS) {
    await all.run(name, ['--help'], { signal: AbortSignal.timeout(20000), seconds: 5, bytes: 10000 });
  }
  console.log(JSON.stringify(items));`;

/** "node_modules/a/node_modules/@b/c" of each package that stands there. */
async function npmFolders(root: string): Promise<string[]> {
  const top = join(root, APPLICATION);
  const files = await readdir(join(top, 'node_modules'), { recursive: true });
  const folders = files
    .filter((path) => basename(path) === 'package.json')
    .map((path) => `node_modules/${dirname(path)}`);
  return folders.filter((path) => /(^|\/)node_modules\/(@[^/]+\/)?[^/@]+$/.test(path));
}

async function packageUrls(root: string): Promise<string[]> {
  const found: string[] = [];
  for (const folder of await npmFolders(root)) {
    const text = await readFile(join(root, APPLICATION, folder, 'package.json'), 'utf8');
    const { name, version } = JSON.parse(text) as Record<string, string>;
    found.push(`pkg:npm/${name?.replace('@', '%40')}@${encodeURIComponent(version ?? '')}`);
  }
  const status = join(root, 'var/lib/dpkg/status.d');
  for (const file of await readdir(status)) {
    const fields = Object.fromEntries(
      (await readFile(join(status, file), 'utf8')).split('\n').map((line) => line.split(/: (.*)/, 2)),
    ) as Record<string, string>;
    const version = encodeURIComponent(fields.Version ?? '').replaceAll('%3A', ':');
    found.push(`pkg:deb/debian/${encodeURIComponent(file)}@${version}?arch=${fields.Architecture}`);
  }
  return found;
}

async function digestOf(file: string): Promise<string> {
  assert.ok((await stat(file)).isFile());
  return (await execute('sha256sum', [file])).stdout.slice(0, 64);
}
