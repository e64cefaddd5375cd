// Peak memory of one large artefact, in a process of its own.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkout, type Measured, runProgram } from './measure.ts';

export async function measureMemory(gibibytes: number): Promise<Measured> {
  const folder = await mkdtemp(join(tmpdir(), 'impound-bench-'));
  try {
    const script = join(checkout, 'bench/large-artefact.mjs');
    const { peakBytes, seconds } = await runProgram(process.execPath, [script, folder, String(gibibytes)]);
    return {
      what: `peak memory while an artefact of ${gibibytes} GiB is archived, compressed, stored and verified`,
      figure: `${(peakBytes / 1e6).toFixed(0)} MB (${((gibibytes * 1073.741824) / seconds).toFixed(0)} MB/s)`,
      floor: '',
      ratio: '',
      wanted: 'under 200 MB',
      met: peakBytes < 200e6,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
