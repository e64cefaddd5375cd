// An object that may not be there is no failure.
import { ImpoundError } from '../evidence/index.ts';

/** Undefined where the API server says that there is no such thing. */
export async function unlessMissing<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ImpoundError && error.code === 'api-missing') return undefined;
    throw error;
  }
}
