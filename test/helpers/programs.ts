// Small real programs for tests, in Python: started, told ready by a line, and ended with their test.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';

/** Runs `source`, waits for the first line it prints, and returns the child and that line. */
export async function python(
  t: TestContext,
  source: string,
  args: readonly string[] = [],
): Promise<{ readonly child: ChildProcess; readonly line: string; readonly pid: number }> {
  const child = spawn('python3', ['-c', source, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [chunk] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, line: chunk.toString().trim(), pid: child.pid ?? 0 };
}
