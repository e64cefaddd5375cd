// The import arrows between rooms, and the one door of each package: the architecture, held by a test.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');

/** What each room may import of ours. Rooms that do not exist yet stand here so that they start with their arrows. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  evidence: [],
  protocol: ['evidence'],
  capture: ['evidence'],
  agent: ['capture', 'protocol', 'evidence'],
  cloud: ['evidence'],
  kubernetes: ['evidence'],
  alerts: ['protocol', 'evidence'],
  controller: ['alerts', 'cloud', 'capture', 'kubernetes', 'protocol', 'evidence'],
  analysis: ['evidence'],
  cli: ['agent', 'alerts', 'analysis', 'capture', 'cloud', 'evidence', 'kubernetes', 'protocol'],
};

/** The files below which a package may be imported; its types may be named anywhere. */
const DOORS: Readonly<Record<string, readonly string[]>> = {
  dockerode: ['agent/runtime/docker.ts'],
  '@grpc/grpc-js': ['agent/runtime/'],
  '@grpc/proto-loader': ['agent/runtime/'],
  'tar-stream': ['evidence/stream/archive.ts'],
  '@aws-sdk/client-s3': ['evidence/store/s3/'],
  '@aws-sdk/client-ec2': ['cloud/'],
  '@aws-sdk/client-kms': ['cloud/'],
  '@aws-sdk/client-sts': ['cloud/'],
  '@aws-sdk/s3-request-presigner': ['evidence/store/s3/'],
  'age-encryption': ['evidence/stream/age/'],
  'prom-client': ['controller/metrics.ts'],
  '@kubernetes/client-node': ['kubernetes/'],
  zod: ['protocol/', 'alerts/', 'controller/'],
  yaml: ['protocol/crd.ts', 'kubernetes/', 'alerts/', 'controller/', 'cli/install/'],
  winston: ['log.ts'],
  yargs: ['cli/main.ts', 'cli/command.ts'],
  '@sigstore/core': ['evidence/format/envelope.ts', 'evidence/verify/timestamp'],
};

/** Modules with no imports of their own kind, which start-up may load without the whole room behind the door. */
const SIDE_DOORS = ['evidence/errors.ts', 'evidence/ports.ts', 'evidence/software.ts', 'capture/memory.ts'];

/** Who may make a logger; everybody else is given one. */
const LOGGERS = ['cli/main.ts', 'agent/main.ts', 'controller/main.ts'];

interface Import {
  readonly from: string;
  readonly to: string;
}

async function imports(): Promise<readonly Import[]> {
  const rooms = Object.keys(MAY_IMPORT).filter((room) => existsSync(join(root, room)));
  const files = ['log.ts'];
  for (const room of rooms) {
    for (const name of await readdir(join(root, room), { recursive: true })) {
      if (name.endsWith('.ts')) files.push(join(room, name));
    }
  }
  const found = await Promise.all(
    files.map(async (from) => {
      const text = await readFile(join(root, from), 'utf8');
      const words = text.matchAll(/(?:^|\s)(?:from|import)\s*\(?\s*'([^']+)'/gm);
      return [...words].map(([, to = '']) => ({ from, to }));
    }),
  );
  return found.flat();
}

const roomOf = (path: string): string => path.split('/')[0] ?? '';

test('a room imports only the rooms below it, through their door', async () => {
  const wrong: string[] = [];
  for (const { from, to } of await imports()) {
    if (!to.startsWith('.')) continue;
    const target = normalize(join(dirname(from), to));
    const [source, room] = [roomOf(from), roomOf(target)];
    if (source === room) continue;
    const allowed = source === 'log.ts' ? ['evidence'] : (MAY_IMPORT[source] ?? []);
    const throughDoor = target === `${room}/index.ts` || SIDE_DOORS.includes(target);
    const isLog = target === 'log.ts' && LOGGERS.includes(from);
    if (!isLog && !(allowed.includes(room) && throughDoor)) wrong.push(`${from} imports ${target}`);
  }
  assert.deepEqual(wrong, []);
});

test('each package has one door', async () => {
  const wrong: string[] = [];
  for (const { from, to } of await imports()) {
    const doors = DOORS[to];
    if (doors !== undefined && !doors.some((door) => from.startsWith(door))) wrong.push(`${from} imports ${to}`);
  }
  assert.deepEqual(wrong, []);
});

test('what is done and what is bound stand apart: the format does no I/O', async () => {
  const pure = /^(?:\.\.?\/|@sigstore\/core$|node:crypto$)/;
  const wrong = (await imports())
    .filter(({ from }) => from.startsWith('evidence/format/'))
    .filter(({ to }) => !pure.test(to) || /\/(store|stream)\//.test(to));
  assert.deepEqual(wrong, []);
});
