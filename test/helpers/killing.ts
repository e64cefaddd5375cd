// Kills what a capture depends upon at random moments, and starts it again: by a seed, so that a round can be had again.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Impound } from '../testbed/impound.ts';
import { leaderOf } from './replicas.ts';

export const VICTIMS = ['agent', 'leader', 'follower', 'both', 'api', 's3'] as const;
export type Victim = (typeof VICTIMS)[number];

const MOST_AWAY_MILLISECONDS = 5000;
const LOOK_MILLISECONDS = 500;

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Killed {
  readonly victim: Victim;
  /** For so long it was away. */
  readonly milliseconds: number;
}

/** SIGKILL, and after 0 to 5 s started again; resolves when it is there again. */
export async function killFor(
  impound: Impound,
  victim: Victim,
  replicas: readonly string[],
  random: () => number,
): Promise<Killed> {
  const milliseconds = Math.round(random() * MOST_AWAY_MILLISECONDS);
  const programs = await programsOf(impound, victim, replicas);
  await Promise.all(programs.map((program) => program.kill()));
  await sleep(milliseconds);
  await Promise.all(programs.map((program) => program.start()));
  return { victim, milliseconds };
}

interface Mortal {
  kill(): Promise<unknown>;
  start(): Promise<void>;
}

async function programsOf(impound: Impound, victim: Victim, replicas: readonly string[]): Promise<readonly Mortal[]> {
  const [first = ''] = replicas;
  switch (victim) {
    case 'agent':
      return [impound.agent('node1').program];
    case 'both':
      return replicas.map((node) => impound.controller(node));
    case 'api':
      return [impound.cluster.apiServer];
    case 's3':
      return [impound.s3];
    default: {
      const leader = (await leaderOf(impound).catch(() => undefined)) ?? first;
      return [impound.controller(victim === 'leader' ? leader : (replicas.find((node) => node !== leader) ?? first))];
    }
  }
}

/** As the kubelet does: a replica that ends by itself, for want of a store say, is started again. Until `signal` aborts. */
export async function keepAlive(impound: Impound, replicas: readonly string[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const dead = replicas.map((node) => impound.controller(node)).filter(({ runs }) => !runs);
    await sleep(LOOK_MILLISECONDS);
    // one that was killed is started by its killer
    for (const program of dead) if (!signal.aborted) await program.start();
  }
}
