// Speed of encryption to age recipients, each way, beside the age program on the same bytes.
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { ageDecrypt } from '../evidence/stream/age/decrypt.ts';
import { ageEncryptor } from '../evidence/stream/age/encrypt.ts';
import { readIdentities } from '../evidence/stream/age/identities.ts';
import { parseRecipients } from '../evidence/stream/age/recipients.ts';
import { type Measured, runProgram, seconds, sideBySide } from './measure.ts';

const MEBIBYTES = 1024;
const MEBIBYTE = 1024 * 1024;
const WANTED = 400e6;

/** One thread of ours, of whatever else the machine does; the age program uses as many as it likes. */
export async function measureAge(rounds: number): Promise<readonly Measured[]> {
  const folder = await mkdtemp(join(tmpdir(), 'impound-bench-'));
  try {
    const [plain, stored, key] = [join(folder, 'plain'), join(folder, 'stored'), join(folder, 'key')];
    await writeFile(key, `${await generateX25519Identity()}\n`);
    const recipient = await identityToRecipient((await readFile(key, 'utf8')).trim());
    await makeFile(plain);
    await runProgram('age', ['-r', recipient, '-o', stored, plain]);
    const encryption = await sideBySide(
      rounds,
      () => seconds(() => encrypt(plain, recipient)),
      () => seconds(() => runProgram('age', ['-r', recipient, '-o', '/dev/null', plain])),
    );
    const decryption = await sideBySide(
      rounds,
      () => seconds(() => decrypt(stored, key)),
      () => seconds(() => runProgram('age', ['-d', '-i', key, '-o', '/dev/null', stored])),
    );
    return [row('encryption to an age recipient', encryption), row('decryption', decryption)];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function makeFile(path: string): Promise<void> {
  const handle = await open(path, 'w');
  const chunk = randomBytes(64 * MEBIBYTE);
  for (let written = 0; written < MEBIBYTES * MEBIBYTE; written += chunk.length) await handle.write(chunk);
  await handle.close();
}

async function encrypt(plain: string, recipient: string): Promise<void> {
  const encryptor = await ageEncryptor(await parseRecipients([recipient]));
  for await (const chunk of createReadStream(plain, { highWaterMark: MEBIBYTE })) encryptor.update(chunk);
  encryptor.end();
}

async function decrypt(stored: string, key: string): Promise<void> {
  const source = createReadStream(stored, { highWaterMark: MEBIBYTE });
  let read = 0;
  for await (const chunk of ageDecrypt(source, await readIdentities(key), stored)) read += chunk.length;
  if (read !== MEBIBYTES * MEBIBYTE) throw new Error(`${read} bytes came back`);
}

function row(what: string, { ours, floor }: { readonly ours: number; readonly floor: number }): Measured {
  const rate = (time: number): number => (MEBIBYTES * MEBIBYTE) / time;
  const shown = (time: number): string => `${(rate(time) / 1e6).toFixed(0)} MB/s`;
  return {
    what: `${what}, 1.1 GB`,
    figure: shown(ours),
    floor: `${shown(floor)} age`,
    ratio: `${((100 * floor) / ours).toFixed(0)} %`,
    wanted: 'at least 400 MB/s',
    met: rate(ours) >= WANTED,
  };
}
