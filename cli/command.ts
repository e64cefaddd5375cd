// A command is data: name, words, options, and what it does. Help, completion and docs come from it.
import type { Options } from 'yargs';
import type { Logger, LogLevel } from '../evidence/index.ts';

/** 0 done; 1 the answer is no; 2 could not; 64 usage (sysexits.h); 130 the person left, and it goes on (as of SIGINT). */
export type ExitCode = 0 | 1 | 2 | 64 | 130;

/** What is said when somebody leaves what goes on in the cluster. */
export const LEFT_RUNNING = 'no longer watching';

/** What every command is given beside its own arguments. */
export interface Environment {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly log: Logger;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** How the person called the program, so that the next command can be copied. */
  readonly program: string;
  /** Aborts when the person presses Ctrl-C once. */
  readonly signal: AbortSignal;
  /** Says that a thread waits for good, so that the program must end without it. */
  readonly endHard: () => void;
}

export interface Command<Arguments> {
  /** With its positional arguments, as yargs reads them: "verify <bundle>". */
  readonly usage: string;
  readonly description: string;
  readonly positionals: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, Options>>;
  readonly examples: readonly (readonly [string, string])[];
  /** On Ctrl-C `signal` aborts and this is said, instead of ending at once. */
  readonly onStop?: (argv: Arguments) => string;
  /** Loads what the command needs only when it runs, so that `--help` stays quick. */
  readonly run: (argv: Arguments, environment: Environment) => Promise<ExitCode>;
}

export interface CommonArguments {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly logLevel: LogLevel;
}
