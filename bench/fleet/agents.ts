// A program: some hundred agents in one process, each with a pod's own token and an address of its own. They speak by the
// agent's own link and custodian; what they collect is made up. Says on standard output what each poll and capture came to.
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { openLink } from '../../agent/remote/link.ts';
import { ImpoundError, type Logger } from '../../evidence/index.ts';
import { makeEvidence, simulateCapture } from './simulated.ts';

/** Its file, for whoever starts it: with the path of an Assignment in JSON as its argument. */
export const AGENTS_PROGRAM = import.meta.filename;

export interface Assignment {
  /** URL of the service. */
  readonly controller: string;
  /** PEM file of its authority. */
  readonly ca: string;
  readonly agents: readonly AssignedAgent[];
}

export interface AssignedAgent {
  readonly node: string;
  /** File of its token. */
  readonly token: string;
  /** That it speaks from. */
  readonly address: string;
}

/** One line. Times in milliseconds since 1970. */
export type Said =
  | { readonly kind: 'polled'; readonly node: string; readonly began: number; readonly ended: number }
  | { readonly kind: 'failed'; readonly node: string; readonly at: number; readonly code: string; readonly why: string }
  | {
      readonly kind: 'captured';
      readonly node: string;
      readonly uid: string;
      readonly began: number;
      readonly at: number;
    };

/** A fleet was not started in one second: its tokens are looked at, each once a minute, at all times alike. */
const SPREAD = 60_000;
/** As agent/main.ts waits. */
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 10_000;

const SOFTWARE = 'impound-bench';
const QUIET: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

async function live({ node, token, address }: AssignedAgent, { controller, ca }: Assignment): Promise<void> {
  const link = await openLink({ url: controller, ca, token, software: SOFTWARE, log: QUIET, localAddress: address });
  const never = new AbortController().signal;
  const pem = await readFile(ca, 'utf8');
  await sleep(Math.random() * SPREAD);
  for (let pause = FIRST_PAUSE; ; ) {
    const began = Date.now();
    try {
      const order = await link.poll(never);
      say({ kind: 'polled', node, began, ended: Date.now() });
      pause = FIRST_PAUSE;
      if (order === undefined) continue;
      const ordered = Date.now();
      await simulateCapture({ order, link, ca: pem, software: SOFTWARE, log: QUIET, evidence });
      say({ kind: 'captured', node, uid: order.uid, began: ordered, at: Date.now() });
    } catch (error) {
      const code = error instanceof ImpoundError ? error.code : 'internal';
      say({ kind: 'failed', node, at: Date.now(), code, why: String(error).slice(0, 200) });
      await sleep(Math.random() * pause);
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    }
  }
}

function say(said: Said): void {
  process.stdout.write(`${JSON.stringify(said)}\n`);
}

function nothing(): void {
  // nobody reads a log of a thousand agents
}

const evidence = makeEvidence();

if (import.meta.main) {
  const assignment = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as Assignment;
  await Promise.all(assignment.agents.map((agent) => live(agent, assignment)));
}
