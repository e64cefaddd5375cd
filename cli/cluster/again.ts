// The next command, as it can be copied: the program as it was called, with the words that chose the cluster.
import type { Environment } from '../command.ts';
import { type ClusterArguments, NAMESPACE } from '../commands/cluster-options.ts';

export type Again = (words: string) => string;

export function againWith(
  { kubeconfig, context, as, namespace }: ClusterArguments,
  { program }: Pick<Environment, 'program'>,
): Again {
  const chosen = [
    ...option('--kubeconfig', kubeconfig),
    ...option('--context', context),
    ...option('--as', as),
    ...option('--namespace', namespace === NAMESPACE ? undefined : namespace),
  ];
  return (words) => [program, words, ...chosen].join(' ');
}

function option(name: string, value: string | undefined): readonly string[] {
  return value === undefined ? [] : [name, quoted(value)];
}

/** For a shell of POSIX. */
export function quoted(word: string): string {
  return /^[\w@.:/+=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
