#!/usr/bin/env node
// What a person types: reads the words, runs the command, turns errors into one line, a code and an exit status.
import yargs from 'yargs';
import { boundMemory } from '../capture/memory.ts';
import { describeError, ImpoundError } from '../evidence/errors.ts';
import { LOG_LEVELS } from '../evidence/ports.ts';
import { software } from '../evidence/software.ts';
import type { Command, CommonArguments, Environment, ExitCode } from './command.ts';
import { commands } from './commands/index.ts';
import { escapeText } from './terminal/text.ts';
import { usage } from './usage.ts';

const PLUGIN = 'kubectl impound';
const USAGE_CODES: ReadonlySet<string> = new Set(['usage', 'unknown-collector']);

/** kubectl's plugin is called by another name; a path would only be long. */
const SCRIPT = process.env.IMPOUND_PROGRAM === PLUGIN ? PLUGIN : 'impound';

let hard = false;

async function main(): Promise<void> {
  boundMemory();
  let exit: ExitCode = 0;
  const program = process.env.IMPOUND_PROGRAM ?? 'impound';
  const parser = yargs(process.argv.slice(2))
    .scriptName(SCRIPT)
    .usage(
      '$0 <verb>\n\nForensic capture: seizes the evidence on a suspect Linux machine, hashed, signed, with its chain of custody.',
    )
    .option('json', {
      type: 'boolean',
      default: false,
      describe: 'Machine-readable result on standard output',
      global: true,
    })
    .option('quiet', { type: 'boolean', default: false, describe: 'No progress', global: true })
    .option('log-level', { choices: LOG_LEVELS, default: 'warn', global: true })
    .strict()
    .demandCommand(1, 'say what to do: see --help')
    .recommendCommands()
    .completion('completion', 'Print a completion script: impound completion >> ~/.bashrc')
    .version(await software())
    .wrap(Math.min(100, process.stdout.columns ?? 100))
    .exitProcess(false)
    .fail((message: string | undefined, error: Error | undefined) => {
      throw error ?? usage(oneLine(message ?? 'see --help'));
    });
  for (const command of commands) {
    parser.command(
      command.usage,
      command.description,
      (own) => {
        for (const [name, describe] of Object.entries(command.positionals))
          own.positional(name, { type: 'string', describe });
        return own.options(command.options).example(command.examples.map(([words, what]) => [words, what]));
      },
      async (argv) => {
        exit = await run(command, argv as unknown as CommonArguments, program);
      },
    );
  }
  await parser.parseAsync();
  process.exitCode = exit;
}

async function run(command: Command<never>, argv: CommonArguments, program: string): Promise<ExitCode> {
  const { createLog } = await import('../log.ts');
  const interrupted = new AbortController();
  const interrupt = (): void => {
    if (interrupted.signal.aborted) process.exit(130);
    process.stderr.write(`\n${command.onStop?.(argv as never) ?? ''}\n`);
    interrupted.abort();
  };
  // a capture seals what it has, also when the terminal it was started from goes; most others just end
  const signals = command.onStop ? (['SIGINT', 'SIGTERM', 'SIGHUP'] as const) : [];
  for (const signal of signals) process.on(signal, interrupt);
  const environment: Environment = {
    json: argv.json,
    quiet: argv.quiet,
    log: createLog(argv.logLevel),
    stdout: process.stdout,
    stderr: process.stderr,
    program,
    signal: interrupted.signal,
    endHard: () => {
      hard = true;
    },
  };
  try {
    return await command.run(argv as never, environment);
  } finally {
    for (const signal of signals) process.off(signal, interrupt);
  }
}

/** yargs spreads its messages over lines; what is missing is named in the field's own words. */
function oneLine(message: string): string {
  if (message.startsWith('Not enough non-option arguments')) return 'an argument is missing: see --help of the verb';
  return message.trim().replace(/\s*\n\s*/g, ': ');
}

function fail(error: unknown): void {
  const code = error instanceof ImpoundError ? error.code : 'internal';
  if (process.argv.includes('--json')) {
    process.stdout.write(`${JSON.stringify({ error: { code, message: describeError(error) } })}\n`);
  }
  process.stderr.write(`impound: ${escapeText(describeError(error))} [${code}]\n`);
  if (code === 'internal' && error instanceof Error)
    process.stderr.write(`${escapeText(error.stack ?? '').replaceAll('\\x0a', '\n')}\n`);
  process.exitCode = USAGE_CODES.has(code) ? 64 : 2;
}

// whoever reads our output may have had enough (`impound cat … | head`), or the terminal may be gone: the work goes on,
// and its exit status says how it ended
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
  });
}

try {
  await main();
} catch (error) {
  fail(error);
}
await end();

/**
 * Everything is done and awaited: what is printed goes out, and idle threads are not waited for. Where a thread waits for
 * good Node would join it for ever: execve(2) ends them all, and what is executed has nothing to do but to exit. Node itself: the image has no shell.
 */
async function end(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    if (!stream.destroyed) await new Promise<void>((resolve) => stream.write('', () => resolve()));
  }
  const { execPath, exitCode = 0 } = process;
  if (hard) process.execve?.(execPath, [execPath, '--eval', `process.exit(${exitCode})`], {});
  process.exit();
}
