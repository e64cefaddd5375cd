// A process whose memory is measured: s3-sizes.ts capture|verify STORE. What is captured, and where, is in the environment;
// it prints what it took as JSON.
import { generateKeyPairSync, randomFillSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Collector } from '../../capture/index.ts';
import { boundMemory, saveMemory } from '../../capture/memory.ts';
import { signerOf } from '../../evidence/custody/key.ts';
import { verifyBundle } from '../../evidence/index.ts';
import { S3Store } from '../../evidence/store/s3/store.ts';
import { collector } from './bundle.ts';
import { captureInto, EVIDENCE } from './s3.ts';

export interface Sizes {
  readonly small: number;
  readonly largeBytes: number;
}

export interface Measured {
  readonly seconds: number;
  readonly peakBytes: number;
  readonly cpuSeconds: number;
}

const CHUNK = 256 * 1024;
const block = randomFillSync(Buffer.alloc(CHUNK));

boundMemory();
saveMemory();
const { IMPOUND_SIZES = '{}', IMPOUND_PREFIX = '', IMPOUND_ENDPOINT = '' } = process.env;
const { small, largeBytes } = JSON.parse(IMPOUND_SIZES) as Sizes;
const store = new S3Store({ bucket: EVIDENCE, prefix: IMPOUND_PREFIX, endpoint: IMPOUND_ENDPOINT });
const begun = performance.now();
if (process.argv[2] === 'capture') {
  const signer = signerOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
  const captured = await captureInto({ store, collectors: collectors(), signer });
  if (captured.kind === 'failed') throw captured.error;
} else {
  const { verdict, findings, capture, bytes } = await verifyBundle(store);
  if (verdict !== 'intact') throw new Error(`${verdict}: ${JSON.stringify(findings)}`);
  if (capture?.truncated !== 0 || bytes < largeBytes) throw new Error(`only ${bytes} bytes, or truncated`);
}
const { userCPUTime, systemCPUTime } = process.resourceUsage();
const measured: Measured = {
  seconds: (performance.now() - begun) / 1000,
  peakBytes: 1024 * Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]),
  cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
};
process.stdout.write(JSON.stringify(measured));

function collectors(): readonly Collector[] {
  const limits = { bytes: 1024 ** 4, seconds: 36_000 };
  return [
    collector(
      'small',
      async function* () {
        for (let index = 0; index < small; index++) {
          const size = 1024 + ((index * 613) % 3073);
          const path = `10-process/many/${index}.bin`;
          yield { kind: 'artefact', path, source: 'a test', content: noise(size, index) };
        }
        yield { kind: 'artefact', path: '10-process/empty.bin', source: 'a test', content: noise(0, 0) };
      },
      { limits },
    ),
    collector(
      'large',
      async function* () {
        if (largeBytes > 0)
          yield { kind: 'artefact', path: '40-memory/large.bin', source: 'a test', content: noise(largeBytes, 1) };
      },
      { limits },
    ),
  ];
}

/** Noise without a run of zeros; no two blocks of it are the same. */
async function* noise(size: number, seed: number): AsyncGenerator<Uint8Array> {
  for (let given = 0; given < size; given += CHUNK) {
    const chunk = Buffer.from(block.subarray(0, Math.min(CHUNK, size - given)));
    if (chunk.length >= 16) {
      chunk.writeDoubleLE(given + 0.1, 0);
      chunk.writeDoubleLE(seed + 0.1, 8);
    }
    yield chunk;
  }
}
