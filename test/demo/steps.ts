// Says each step of a demonstration, with how long it took, and shows each command as a person types it.
import { ended, type Ran, startCli } from '../helpers/cli.ts';

export interface Steps {
  /** Says what is done, does it, and says how long it took. */
  step<T>(what: string, work: () => Promise<T>): Promise<T>;
  /** A line below a step. */
  say(text: string): void;
  /** Shows the command and what it prints. Throws where it does not exit with 0. */
  impound(words: readonly string[], kubeconfig: string): Promise<Ran>;
}

const SHOWN_BY = /^(--kubeconfig|--cri|--containerd)$/;

export function steps(total: number, home: string): Steps {
  const begun = performance.now();
  let number = 0;
  const write = (text: string): void => void process.stdout.write(text);
  const bold = process.stdout.isTTY ? (text: string): string => `\x1b[1m${text}\x1b[0m` : String;
  const seconds = (from: number): string => `${((performance.now() - from) / 1000).toFixed(1)} s`;
  return {
    async step(what, work) {
      const from = performance.now();
      write(`\n${bold(`${++number}/${total}  ${what}`)}\n`);
      const result = await work();
      write(`      ${seconds(from)}, ${seconds(begun)} in all\n`);
      return result;
    },
    say: (text) => write(`      ${text}\n`),
    async impound(words, kubeconfig) {
      write(
        `      $ impound ${words
          .filter((word) => !SHOWN_BY.test(word))
          .map(quoted)
          .join(' ')}\n`,
      );
      const child = startCli([...words, '--kubeconfig', kubeconfig], { home });
      for (const stream of [child.stdout, child.stderr])
        stream?.on('data', (text: Buffer) => write(indented(String(text))));
      const ran = await ended(child);
      if (ran.code !== 0) throw new Error(`impound ${words[0]} ended with ${ran.code}`);
      return ran;
    },
  };
}

function quoted(word: string): string {
  return /\s/.test(word) ? `"${word}"` : word;
}

function indented(text: string): string {
  return text.replaceAll(/^(?=.)/gm, '        ');
}
