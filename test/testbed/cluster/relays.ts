// Ways between the cluster's networks and this machine's, which have none: two relays with a socket in the bed's folder.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Bed, until } from './bed.ts';
import type { Daemon } from './daemon.ts';
import { CONTROL_ADDRESS } from './network.ts';
import type { Place } from './place.ts';

const RELAY = fileURLToPath(import.meta.resolve(import.meta.filename.endsWith('.js') ? './relay.js' : './relay.ts'));
const READY_SECONDS = 10;

export interface Relays {
  /** Lets this machine reach what `place` reaches at `address`, "10.99.0.1:16443"; "127.0.0.1:PORT". */
  reach(place: Place, address: string): Promise<string>;
  /** Lets places and pods reach a server of this machine, "127.0.0.1:7070"; "10.99.0.1:PORT". */
  publish(address: string): Promise<string>;
}

/** Ends: a path, or HOST:PORT. It prints the address it listens on. */
export function startRelay(place: Place, name: string, from: string, to: string): Promise<Daemon> {
  return place.start(name, process.execPath, [RELAY, from, to]);
}

export function makeRelays(bed: Bed, control: Place): Relays {
  let number = 0;
  const next = (): readonly [name: string, socket: string] => {
    const name = `relay${number++}`;
    return [name, join(bed.directory, `${name}.sock`)];
  };
  const outside = (name: string, from: string, to: string): Promise<Daemon> =>
    bed.start(name, [process.execPath, RELAY, from, to]);
  return {
    async reach(place, address) {
      const [name, socket] = next();
      await listens(await startRelay(place, name, socket, address));
      const { port } = await listens(await outside(name, '127.0.0.1:0', socket));
      return `127.0.0.1:${port}`;
    },
    async publish(address) {
      const [name, socket] = next();
      await listens(await outside(name, socket, address));
      const { port } = await listens(await startRelay(control, name, `${CONTROL_ADDRESS}:0`, socket));
      return `${CONTROL_ADDRESS}:${port}`;
    },
  };
}

async function listens(relay: Daemon): Promise<{ readonly port?: number }> {
  const said = async (): Promise<{ readonly port?: number }> => JSON.parse(await readFile(relay.log, 'utf8'));
  await until(relay, READY_SECONDS, said);
  return await said();
}
