// How a bundle was closed, by its chain.
import type { Statement } from '../../evidence/index.ts';

export function closeOutcome(statements: readonly Statement[]): unknown {
  return statements.find(({ predicate }) => predicate.action === 'close')?.predicate.details.outcome;
}
