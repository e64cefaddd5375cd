// Ends a process's effects on the disk at its n-th step, before or after that step: then nothing works any more.
import promises, { type FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

export class Crash extends Error {}

const STEPS = ['mkdir', 'link', 'unlink', 'rename', 'rm', 'rmdir'] as const;
const HANDLE_STEPS = ['write', 'sync'] as const;

type Call = (...all: readonly unknown[]) => Promise<unknown>;

/** Runs `work`, which may take `steps` steps that change files; true where it ended before that. */
export async function crashingAt(steps: number, work: () => Promise<unknown>): Promise<boolean> {
  let left = steps;
  const step = (): void => {
    if (left-- <= 0) throw new Crash();
  };
  const around =
    (call: Call): Call =>
    async (...all) => {
      step();
      const value = await call(...all);
      step();
      return value;
    };
  const patched = promises as unknown as Record<string, Call>;
  const before = { ...patched };
  const opened: FileHandle[] = [];
  for (const name of STEPS) patched[name] = around(before[name] as Call);
  patched.open = async (...all) => {
    step();
    const handle = (await before.open?.(...all)) as FileHandle;
    opened.push(handle);
    const own = handle as unknown as Record<string, Call>;
    for (const name of HANDLE_STEPS) own[name] = around((own[name] as Call).bind(handle));
    return handle;
  };
  syncBuiltinESMExports();
  try {
    await work();
    return left > 0;
  } finally {
    for (const name of [...STEPS, 'open']) patched[name] = before[name] as Call;
    syncBuiltinESMExports();
    // what the end of the process does
    for (const handle of opened) await handle.close();
  }
}
