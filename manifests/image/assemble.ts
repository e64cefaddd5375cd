// Puts together what the images' layers are made of, in the stage that builds: `node manifests/image/assemble.ts FOLDER`.
import { spawnSync } from 'node:child_process';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { copyApplication, type NpmPackage, npmPackages } from './application.ts';
import { copyPackages, type DebianPackage, withLibraries } from './debian.ts';
import { recordPrograms } from './programs.ts';
import { spdx } from './sbom.ts';

/** Beside what Node is linked with: who the system is, and where the licence of GCC's libraries stands. */
const SYSTEM = ['base-files', 'gcc-12-base'];
const NODE = '/image/node/bin/node';
const RECORDS = 'usr/share/impound';
/** The links of a merged /usr, which no package brings. */
const MERGED = { bin: 'usr/bin', sbin: 'usr/sbin', lib: 'usr/lib', lib64: 'usr/lib64' };
const USERS = [
  'root:x:0:0:root:/root:/usr/sbin/nologin',
  'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
  'impound:x:65532:65532:impound:/nonexistent:/usr/sbin/nologin',
];
const GROUPS = ['root:x:0:', 'nogroup:x:65534:', 'impound:x:65532:'];

const [out = '/out'] = process.argv.slice(2);
const created = Number(process.env.SOURCE_DATE_EPOCH || 0);
const folder = (name: string): string => join(out, name);

const system = await withLibraries(
  SYSTEM.map((name) => ({ name, only: [] })),
  [NODE],
);
const all = await withLibraries([...system, ...(await chosen('/image/packages'))], []);
const programs = all.filter(({ name }) => !system.some((one) => one.name === name));

await makeSystem(folder('system'));
await copyPackages(programs, folder('programs'));
await copyApplication('/src', join(folder('application'), 'opt/impound'));

const npm = await npmPackages(join(folder('application'), 'opt/impound'), '/src/package-lock.json');
await describe('controller', system, npm);
await describe('agent', all, npm);
await record();
// a checkout's modes are those of who made it
for (const name of ['application', 'controller', 'agent']) run('chmod', ['-R', 'u=rwX,go=rX', folder(name)]);
run('find', [out, '-newermt', `@${created}`, '-exec', 'touch', '-h', '-d', `@${created}`, '{}', '+']);

async function makeSystem(root: string): Promise<void> {
  await mkdir(root, { recursive: true });
  for (const [name, to] of Object.entries(MERGED)) {
    await mkdir(join(root, to), { recursive: true });
    await symlink(to, join(root, name));
  }
  await copyPackages(system, root);
  await cp(NODE, join(root, 'usr/bin/node'));
  await mkdir(join(root, 'usr/share/doc/nodejs'), { recursive: true });
  await cp('/image/node/LICENSE', join(root, 'usr/share/doc/nodejs/copyright'));
  await writeFile(join(root, 'etc/passwd'), `${USERS.join('\n')}\n`);
  await writeFile(join(root, 'etc/group'), `${GROUPS.join('\n')}\n`);
  await writeFile(join(root, 'etc/nsswitch.conf'), 'passwd: files\ngroup: files\nhosts: files dns\n');
}

async function describe(
  image: string,
  debian: readonly DebianPackage[],
  packages: readonly NpmPackage[],
): Promise<void> {
  const into = join(folder(image), RECORDS);
  await mkdir(into, { recursive: true });
  const { version } = JSON.parse(await readFile('/src/package.json', 'utf8')) as { readonly version: string };
  const contents = { debian, npm: packages, node: process.versions.node };
  const document = spdx({ name: `impound-${image}`, version, created: new Date(created * 1000) }, contents);
  await writeFile(join(into, 'sbom.spdx.json'), `${JSON.stringify(document, undefined, 1)}\n`);
}

async function record(): Promise<void> {
  const list = recordPrograms(folder('programs'), programs);
  await writeFile(join(folder('agent'), RECORDS, 'programs.json'), `${JSON.stringify(list, undefined, 1)}\n`);
}

async function chosen(file: string): Promise<readonly DebianPackage[]> {
  const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return lines.map((line) => {
    const [name = '', ...only] = line.split(' ');
    return { name, only };
  });
}

function run(program: string, args: readonly string[]): void {
  const { status, error } = spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw error ?? new Error(`${program} ended with ${status}`);
}
