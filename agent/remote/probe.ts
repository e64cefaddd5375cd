// Tries this node's way to the store: stores what the controller asks for, as evidence would be, and says what became of it.
import { describeError, ImpoundError, uploader } from '../../evidence/index.ts';
import { PROBE_SECONDS, type ProbedRequest, type ProbeOrder } from '../../protocol/index.ts';

/** Where it lies below the folder that the controller has made for it. */
const PATH = 'data/00-meta/probe.txt';
/** A person waits, and wants to know of the first failure. */
const ONCE = { milliseconds: 0 };

/** `ca`: PEM of the controller's authority, where it takes the bytes itself. Never throws. */
export async function probeStore(
  { url, headers, expires, body }: ProbeOrder,
  ca: string,
  ending: AbortSignal,
): Promise<ProbedRequest> {
  const began = performance.now();
  const milliseconds = (): number => Math.round(performance.now() - began);
  const late = AbortSignal.timeout(PROBE_SECONDS * 1000);
  try {
    const store = uploader({
      grants: {
        grantObject: async () => ({ url, headers, expires }),
        // asked with a version after the store took it, and without one where an answer was lost; the controller looks itself
        finished: async (...asked) => (asked.length > 1 ? {} : undefined),
        beginUpload: unasked,
        grantPart: unasked,
        completeUpload: unasked,
        finishedUpload: unasked,
        finishedPart: unasked,
      },
      ...{ ca, patience: ONCE, signal: AbortSignal.any([ending, late]) },
    });
    try {
      const writer = await store.create(PATH);
      await writer.write(Buffer.from(body));
      await writer.commit();
    } finally {
      store.close();
    }
    return { milliseconds: milliseconds() };
  } catch (error) {
    const { host } = new URL(url);
    const failure = late.aborted
      ? { code: 'store-unreachable', message: `the store at ${host} did not answer within ${PROBE_SECONDS} s` }
      : { code: error instanceof ImpoundError ? error.code : 'internal', message: describeError(error).slice(0, 1000) };
    return { milliseconds: milliseconds(), failure };
  }
}

function unasked(): Promise<never> {
  return Promise.reject(new Error('a probe is one small object'));
}
