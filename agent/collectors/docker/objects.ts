// What the engine has beside containers: itself, its events, images with their history, networks, volumes.
import { gap } from '../../../capture/index.ts';
import { forEachBounded } from '../../../evidence/index.ts';
import type { Answer } from '../../runtime/docker.ts';
import { listAt, textAt } from '../../runtime/json.ts';
import { eventRow, imageRow, networkRow, volumeRow } from './rows.ts';
import { archived, ask, type Session } from './session.ts';
import { Table } from './table.ts';

const AT_ONCE = 8;
const EVENT_SECONDS = 24 * 3600;

/** engine.json: the engine's own words, byte for byte, in one document. */
export async function captureEngine(session: Session): Promise<Uint8Array> {
  const { engine, signal } = session;
  const [version, info] = await Promise.all([
    archived(session, 'version.json', 'engine version', () => engine.version(signal)),
    archived(session, 'info.json', 'engine info', () => engine.info(signal)),
  ]);
  const parts = [`"socket":${JSON.stringify(`unix://${engine.socket}`)}`];
  for (const [name, answer] of [
    ['version', version],
    ['info', info],
  ] as const) {
    if (answer.kind === 'gap') continue; // declared already
    const text = answer.raw.toString('utf8').trim();
    if (isJson(text)) parts.push(`"${name}":${text}`);
    else
      session.gaps.push(
        gap('failed', `engine ${name}`, 'the engine answered something that is not JSON; raw.tar.zst has it'),
      );
  }
  return Buffer.from(`{${parts.join(',')}}\n`);
}

/** What the engine remembers of the last day. */
export async function captureEvents(session: Session): Promise<Table> {
  const { engine, signal } = session;
  const now = Date.now() / 1000;
  const call = (): Promise<Answer> => engine.events(now - EVENT_SECONDS, now, signal);
  const answer = await archived(session, 'events.jsonl', 'events', call);
  const table = new Table();
  if (answer.kind === 'gap') return table;
  const lines = answer.raw.toString('utf8').split('\n');
  if (answer.cut !== undefined) lines.pop(); // not a whole line
  for (const line of lines) {
    if (line.trim() === '') continue;
    if (isJson(line)) table.push(eventRow(JSON.parse(line)));
    else session.gaps.push(gap('failed', 'event', 'a line that is not JSON; raw.tar.zst has it'));
  }
  return table;
}

/** The images' list; its rows by `captureImages`. */
export function listImages(session: Session): Promise<unknown> {
  return ask(session, 'images.json', 'images', () => session.engine.images(session.signal));
}

export async function captureImages(session: Session, listing: Promise<unknown>): Promise<Table> {
  const { engine, signal } = session;
  const table = new Table();
  await forEachBounded(listAt(await listing), AT_ONCE, async (listed) => {
    const id = textAt(listed, 'Id');
    if (id === undefined) return;
    const folder = `images/${id.replace(/^sha256:/, '')}`;
    const [inspect, history] = await Promise.all([
      ask(session, `${folder}/inspect.json`, `image ${id} inspect`, () => engine.image(id, signal)),
      ask(session, `${folder}/history.json`, `image ${id} history`, () => engine.history(id, signal)),
    ]);
    table.push(imageRow(listed, inspect, history));
  });
  return table;
}

/** The list does not say which containers are in a network: each is inspected. */
export async function captureNetworks(session: Session): Promise<Table> {
  const { engine, signal } = session;
  const table = new Table();
  const list = await ask(session, 'networks.json', 'networks', () => engine.networks(signal));
  await forEachBounded(listAt(list), AT_ONCE, async (listed) => {
    const id = textAt(listed, 'Id');
    if (id === undefined) return;
    const member = `networks/${id}/inspect.json`;
    const inspect = await ask(session, member, `network ${id} inspect`, () => engine.network(id, signal));
    table.push(networkRow(inspect ?? listed));
  });
  return table;
}

export async function captureVolumes(session: Session): Promise<Table> {
  const table = new Table();
  const answer = await ask(session, 'volumes.json', 'volumes', () => session.engine.volumes(session.signal));
  for (const volume of listAt(answer, 'Volumes')) table.push(volumeRow(volume));
  return table;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
