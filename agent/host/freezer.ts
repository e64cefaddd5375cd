// Freezes one container through its own cgroup, and thaws it: at the end, by a deadline here, and by a watchdog process
// that outlives us. Where both are killed at once, as with the whole cgroup of the capture, it stays frozen.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describeError, type Gap, type GapReason, workerScript } from '../../evidence/index.ts';
import type { FootprintItem } from '../context.ts';
import { gapOf } from './errno.ts';
import {
  type Cgroup,
  isFrozen,
  type Located,
  locate,
  type Nowhere,
  reaches,
  STATE_MILLISECONDS,
  stateOf,
  tell,
} from './freezer/cgroup.ts';

/** A container that does not answer for longer is restarted by its liveness probe, or leaves its cluster. */
const FREEZE_SECONDS = 30;
const WATCHDOG_MILLISECONDS = 5000;

export interface FreezeOptions extends Located {
  /** Until it is thawed at the latest. */
  readonly seconds?: number;
  footprint(item: FootprintItem): void;
  gap(gap: Gap): void;
}

export interface Frozen {
  readonly kind: 'frozen';
  /** As the kernel says now. */
  isFrozen(): boolean;
  /** For how long it has stood still, or did; undefined for what was frozen before. */
  seconds(): number | undefined;
  /** Thaws what we froze; once is enough. Never rejects. */
  thaw(): Promise<void>;
}

export interface NotFrozen extends Nowhere {
  readonly kind: 'refused';
}

/** Resolves once all processes of the container stand still. What was frozen before stays so. Never rejects. */
export async function freezeContainer(options: FreezeOptions): Promise<Frozen | NotFrozen> {
  try {
    const cgroup = locate(options);
    if ('reason' in cgroup) return { kind: 'refused', ...cgroup };
    const name = `container ${options.containerId}`;
    if (stateOf(cgroup) !== 'thawed') {
      options.footprint({ kind: 'note', name, detail: `was frozen before, and was left so (${cgroup.folder})` });
      return {
        kind: 'frozen',
        isFrozen: () => isFrozen(cgroup),
        seconds: () => undefined,
        thaw: async () => undefined,
      };
    }
    const watchdog = await startWatchdog(cgroup, options.seconds ?? FREEZE_SECONDS);
    if (watchdog.pid === undefined) return refused('failed', 'the process that would thaw it could not be started');
    options.footprint({ kind: 'process', name: `pid ${watchdog.pid}`, detail: `thaws ${name} should we not` });
    return await hold(new Hold(cgroup, name, watchdog, options));
  } catch (error) {
    const { reason, detail } = gapOf(error, 'freezing');
    return refused(reason, `it could not be frozen: ${detail ?? describeError(error)}`);
  }
}

async function hold(held: Hold): Promise<Frozen | NotFrozen> {
  try {
    if (await held.begin()) {
      return {
        kind: 'frozen',
        isFrozen: () => held.isFrozen(),
        seconds: () => held.seconds(),
        thaw: () => held.end(),
      };
    }
  } catch (error) {
    await held.end();
    throw error;
  }
  await held.end();
  return refused('timeout', `not all of its processes could be stopped within ${STATE_MILLISECONDS} ms`);
}

function refused(reason: GapReason, detail: string): NotFrozen {
  return { kind: 'refused', reason, detail };
}

/** A session of its own, so that a terminal's interrupt does not reach it. Ready before anything is frozen. */
async function startWatchdog({ control, thaw }: Cgroup, seconds: number): Promise<ChildProcess> {
  const script = fileURLToPath(workerScript('./freezer/watchdog-worker', import.meta.url));
  const child = spawn(process.execPath, [script, control, thaw, String(seconds)], {
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
    cwd: '/',
    env: {},
  });
  child.stdin?.on('error', () => undefined); // it has ended, which is seen by its exit
  const waiting = AbortSignal.timeout(WATCHDOG_MILLISECONDS);
  try {
    const ended = once(child, 'exit', { signal: waiting }).then(() => Promise.reject(new Error('its watchdog ended')));
    const [said] = (await Promise.race([once(child.stdout, 'data', { signal: waiting }), ended])) as [Buffer];
    ended.catch(() => undefined);
    if (!said.includes('ready')) throw new Error('its watchdog did not begin');
    return child;
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

/** One freeze from its beginning to its end. */
class Hold {
  readonly #cgroup: Cgroup;
  readonly #name: string;
  readonly #watchdog: ChildProcess;
  readonly #options: FreezeOptions;
  #timer: NodeJS.Timeout | undefined;
  #begun = 0;
  /** Milliseconds it took, once it is over. */
  #ended: number | undefined;
  #ending: Promise<void> | undefined;

  constructor(cgroup: Cgroup, name: string, watchdog: ChildProcess, options: FreezeOptions) {
    this.#cgroup = cgroup;
    this.#name = name;
    this.#watchdog = watchdog;
    this.#options = options;
  }

  /** False where not all stand still. Throws the system's errors. */
  async begin(): Promise<boolean> {
    const { seconds = FREEZE_SECONDS } = this.#options;
    this.#begun = performance.now();
    this.#timer = setTimeout(() => void this.#late(seconds), seconds * 1000);
    if (this.#watchdog.exitCode !== null || this.#watchdog.signalCode !== null) throw new Error('its watchdog ended');
    this.#watchdog.once('exit', () => void this.end()); // nobody would thaw it after us
    tell(this.#cgroup, this.#cgroup.freeze);
    return await reaches(this.#cgroup, 'frozen');
  }

  isFrozen(): boolean {
    return this.#ending === undefined && isFrozen(this.#cgroup);
  }

  seconds(): number {
    return Math.round(this.#ended ?? performance.now() - this.#begun) / 1000;
  }

  end(): Promise<void> {
    this.#ending ??= this.#thaw();
    return this.#ending;
  }

  #late(seconds: number): Promise<void> {
    if (this.#ending === undefined) {
      const detail = `thawed after ${seconds} s, before all of its memory was read: the rest was read while it changed`;
      this.#options.gap({ reason: 'timeout', name: this.#name, detail });
    }
    return this.end();
  }

  async #thaw(): Promise<void> {
    const { folder, version, thaw } = this.#cgroup;
    const { footprint, gap } = this.#options;
    clearTimeout(this.#timer);
    let thawed = true;
    try {
      tell(this.#cgroup, thaw);
      thawed = await reaches(this.#cgroup, 'thawed');
    } catch (error) {
      // without its cgroup the container is no more
      thawed = !existsSync(folder);
      if (!thawed) gap(gapOf(error, `${this.#name}: thawing`));
    }
    this.#ended = performance.now() - this.#begun;
    footprint({
      kind: 'note',
      name: this.#name,
      detail: `frozen for ${this.seconds()} s (cgroup v${version} ${folder})`,
    });
    if (thawed) {
      this.#watchdog.stdin?.end('done\n');
      return;
    }
    this.#watchdog.stdin?.end(); // it tries once more
    const detail = `it may still be frozen: write ${thaw} to ${this.#cgroup.control} on the node`;
    gap({ reason: 'failed', name: this.#name, detail });
  }
}
