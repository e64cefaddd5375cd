// What a cluster lives in: a folder, and places with their daemons; all of it goes at once.
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { removeCgroups } from '../containerd-cri.ts';
import { clearFolder } from '../remains.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { makePlace, type Place } from './place.ts';

const LOG_TAIL = 2000;
const POLL_MILLISECONDS = 50;
/** Where a container's cgroup is in use until its last process has been reaped. */
const CGROUP_TRIES = 20;

export interface Bed {
  readonly directory: string;
  readonly places: readonly Place[];
  /** A place of that name, in a folder of that name. */
  place(name: string, resolver: string): Promise<Place>;
  /** A daemon of the bed outside of its places: `words` are the program and its arguments. */
  start(name: string, words: readonly string[]): Promise<Daemon>;
  stop(): Promise<void>;
}

export async function makeBed(): Promise<Bed> {
  const directory = await mkdtemp('/tmp/imp-'); // short: a socket's path has at most 107 bytes (unix(7))
  const places: Place[] = [];
  const daemons: Daemon[] = [];
  let stopped = false;
  return {
    directory,
    places,
    async place(name, resolver) {
      await mkdir(join(directory, name));
      const place = await makePlace(join(directory, name), name, resolver);
      places.push(place);
      if (stopped) await place.stop(); // another step of the bring-up failed meanwhile
      return place;
    },
    async start(name, words) {
      const daemon = await startDaemon(name, join(directory, `${name}.log`), words, process.env);
      daemons.push(daemon);
      return daemon;
    },
    async stop() {
      stopped = true;
      await Promise.all(daemons.map((daemon) => daemon.kill()));
      await Promise.all(places.map((place) => place.stop()));
      const containers = await containersIn(places.map(({ name }) => join(directory, name)));
      await clearFolder(directory);
      await removeContainerCgroups(containers);
      await rm(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Tries until `probe` answers without an error; else says so with the end of the daemon's log. */
export async function until(daemon: Daemon, seconds: number, probe: () => Promise<unknown>): Promise<void> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const failure = await probe().then(
      () => undefined,
      (error: unknown) => error,
    );
    if (failure === undefined) return;
    if (Date.now() > end || !daemon.runs) {
      const log = await readFile(daemon.log, 'utf8').catch(() => '');
      const what = daemon.runs ? `is not ready after ${seconds} s` : 'ended';
      throw new Error(`${daemon.name} ${what}: ${String(failure)}\n${log.slice(-LOG_TAIL)}`);
    }
    await sleep(POLL_MILLISECONDS);
  }
}

/** Those that containerd had not removed when it was killed. */
async function containersIn(folders: readonly string[]): Promise<readonly string[]> {
  const tasks = folders.map((folder) => join(folder, 'containerd/state/io.containerd.runtime.v2.task/k8s.io'));
  return (await Promise.all(tasks.map((path) => readdir(path).catch(() => [])))).flat();
}

/** A kubelet without cgroups of its own leaves their place to containerd: /k8s.io/ID in each hierarchy. */
async function removeContainerCgroups(containers: readonly string[]): Promise<void> {
  const hierarchies = await readdir('/sys/fs/cgroup').catch(() => []);
  const lists = ['.', ...hierarchies].map((hierarchy) => join('/sys/fs/cgroup', hierarchy, 'k8s.io'));
  for (let tries = 0; tries < CGROUP_TRIES; tries++) {
    for (const id of containers) await removeCgroups(`k8s.io/${id}`);
    const left = new Set((await Promise.all(lists.map((path) => readdir(path).catch(() => [])))).flat());
    if (!containers.some((id) => left.has(id))) break;
    await sleep(POLL_MILLISECONDS);
  }
  await removeCgroups('k8s.io'); // stays where another cluster's containers are in it
}
