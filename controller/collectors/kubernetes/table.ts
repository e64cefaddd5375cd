// One artefact of rows: not stored where nothing was answered, and marked as incomplete where something was not.
import type { Artefact } from '../../../capture/index.ts';
import { jsonLines } from '../../../evidence/index.ts';
import { type Answers, type Asking, answers } from './ask.ts';

/** Yields nothing where every request failed: an empty table would say that there is nothing. */
export async function* table(
  asking: Asking,
  path: string,
  source: string,
  rowsOf: (answers: Answers) => AsyncGenerator<object>,
): AsyncGenerator<Artefact> {
  const given = answers(asking);
  const rows = rowsOf(given);
  const first = await rows.next();
  if (first.done === true && given.answered === 0 && given.lost.length > 0) return;
  const content = async function* (): AsyncGenerator<Uint8Array> {
    yield* jsonLines(rest(first, rows));
  };
  yield { kind: 'artefact', path, source, content: content(), truncated: () => missing(given.lost) };
}

async function* rest(first: IteratorResult<object>, rows: AsyncGenerator<object>): AsyncGenerator<object> {
  try {
    if (first.done === true) return;
    yield first.value;
    yield* rows;
  } finally {
    await rows.return(undefined);
  }
}

function missing(lost: readonly string[]): string | undefined {
  const [first] = lost;
  if (first === undefined) return undefined;
  return `${first}${lost.length > 1 ? ` and ${lost.length - 1} more` : ''}: could not be had`.slice(0, 300);
}
