// The simulated agents as the bench sees them: started in their place, and heard of by what they say.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AGENTS_PROGRAM, type AssignedAgent, type Assignment, type Said } from './agents.ts';
import { AGENTS, addressOf, type FleetBed } from './bed.ts';
import type { HollowNode } from './nodes.ts';

const PROCESSES = 2;
const ROW = 20;
const LOOK_MILLISECONDS = 1000;
const SERVICE = 'https://impound-controller.impound-system.svc:8443';

export interface Crew {
  said(): Promise<readonly Said[]>;
  /**
   * Waits until each agent has had an answer to a poll that it began after this (milliseconds since 1970); for each, how many
   * milliseconds after it that poll began.
   */
  polling(since: number, seconds: number): Promise<readonly number[]>;
}

export async function startCrew({ impound }: FleetBed, nodes: readonly HollowNode[]): Promise<Crew> {
  const { cluster, ca } = impound;
  const logs: string[] = [];
  const agents = nodes.map((node, index): AssignedAgent => ({ ...agentOf(node), address: addressOf(index) }));
  for (let number = 0; number < PROCESSES; number++) {
    // each row begins with another one, so that no step through the nodes meets one process only
    const mine = agents.filter((_, index) => (index + Math.floor(index / ROW)) % PROCESSES === number);
    const assignment: Assignment = { controller: SERVICE, ca, agents: mine };
    const file = join(cluster.directory, `agents-${number}.json`);
    await writeFile(file, JSON.stringify(assignment));
    const words = [process.execPath, AGENTS_PROGRAM, file];
    logs.push((await cluster.start(AGENTS, `agents-${number}`, words, { UV_THREADPOOL_SIZE: '16' })).log);
  }
  const said = async (): Promise<readonly Said[]> => (await Promise.all(logs.map(linesOf))).flat();
  return {
    said,
    async polling(since, seconds) {
      const end = Date.now() + seconds * 1000;
      for (;;) {
        const first = new Map<string, number>();
        for (const one of await said()) {
          if (one.kind !== 'polled' || one.began < since) continue;
          first.set(one.node, Math.min(one.began, first.get(one.node) ?? Number.POSITIVE_INFINITY));
        }
        if (first.size === nodes.length) return [...first.values()].map((began) => began - since);
        if (Date.now() > end) throw new Error(`${first.size} of ${nodes.length} agents poll: see ${logs.join(' ')}`);
        await sleep(LOOK_MILLISECONDS);
      }
    },
  };
}

function agentOf({ name, token }: HollowNode): Pick<AssignedAgent, 'node' | 'token'> {
  return { node: name, token };
}

async function linesOf(log: string): Promise<readonly Said[]> {
  const lines = (await readFile(log, 'utf8')).split('\n').slice(0, -1); // the last one may be half written
  return lines.map((line) => JSON.parse(line) as Said);
}
