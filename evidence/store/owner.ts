// Who is writing to a directory store, so that nobody seals a bundle while its capture is running.
import { readFile, writeFile } from 'node:fs/promises';
import { errnoOf } from '../errors.ts';

/** Marks `file` as this process's. */
export async function claimOwnership(file: string): Promise<void> {
  await writeFile(file, `${process.pid} ${(await startTicks(process.pid)) ?? ''}\n`, { mode: 0o600 });
}

/** The PID of a running process that claimed `file`; undefined where it has ended, also where its PID was used again. */
export async function runningOwner(file: string): Promise<number | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  const [pid = 0, start] = text.trim().split(' ').map(Number);
  return pid > 0 && start !== undefined && (await startTicks(pid)) === start ? pid : undefined;
}

/** Field 22 of proc_pid_stat(5); undefined where there is no such process. */
async function startTicks(pid: number): Promise<number | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
  } catch {
    return undefined;
  }
}
