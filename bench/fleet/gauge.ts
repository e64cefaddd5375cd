// What the controllers take of the machine, and what they ask of others, read from outside of them.
import { createReadStream } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { createInterface } from 'node:readline';

/** Of Linux on every architecture that Node runs on: USER_HZ, proc(5). */
const TICKS = 100;
const ANSWER_MILLISECONDS = 10_000;

export interface Use {
  readonly cpuSeconds: number;
  readonly rss: number;
  /** Its own: without pages of files, which the kernel takes back where memory is short. */
  readonly anonymous: number;
  /** Largest resident set since `forgetPeak`. */
  readonly peak: number;
}

export async function useOf(pid: number): Promise<Use> {
  const [stat, status] = await Promise.all(['stat', 'status'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8')));
  const fields = (stat ?? '').slice((stat ?? '').lastIndexOf(')') + 2).split(' ');
  const kilobytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status ?? '')?.[1]);
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS,
    rss: 1024 * kilobytes('VmRSS'),
    anonymous: 1024 * kilobytes('RssAnon'),
    peak: 1024 * kilobytes('VmHWM'),
  };
}

/** https://docs.kernel.org/filesystems/proc.html: clear_refs */
export async function forgetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
}

/** A replica's figures by name, those without labels; the delays of its event loop are those since they were last asked for. */
export async function metricsOf(url: string, ca: string, servername: string): Promise<ReadonlyMap<string, number>> {
  const options = { ca: await readFile(ca), servername, timeout: ANSWER_MILLISECONDS, agent: false };
  const text = await new Promise<string>((resolve, reject) => {
    const asked = request(`${url}/metrics`, options, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      answer.on('error', reject).on('end', () => resolve(text));
    });
    asked.on('timeout', () => asked.destroy(new Error('no answer'))).on('error', reject);
    asked.end();
  });
  const rows = [...text.matchAll(/^([a-z0-9_]+(?:\{[^}]*\})?) (\S+)/gm)];
  return new Map(rows.map(([, name = '', value]) => [name, Number(value)]));
}

export interface ApiRequest {
  /** "create tokenreviews", "patch nodecaptures/status". */
  readonly what: string;
  readonly at: number;
}

interface AuditEvent {
  readonly verb: string;
  readonly objectRef?: { readonly resource?: string; readonly subresource?: string; readonly name?: string };
  readonly requestReceivedTimestamp: string;
}

/** What the controllers asked of the API server between these times (milliseconds since 1970). */
export async function apiRequests(audit: string, from: number, to: number): Promise<readonly ApiRequest[]> {
  const found: ApiRequest[] = [];
  for await (const { verb, objectRef, requestReceivedTimestamp } of events(audit, RECEIVED, ':impound-controller"')) {
    const at = Date.parse(requestReceivedTimestamp);
    if (at < from || at > to) continue;
    const { resource = 'other', subresource } = objectRef ?? {};
    found.push({ what: `${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}`, at });
  }
  return found;
}

/** When the API server was asked to create each NodeCapture, by name; milliseconds since 1970. */
export async function createdAt(audit: string): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  // its name is known only when it has been read
  for await (const { objectRef, requestReceivedTimestamp } of events(audit, DONE, '"verb":"create"', '"nodecaptures"'))
    found.set(objectRef?.name ?? '', Date.parse(requestReceivedTimestamp));
  return found;
}

const RECEIVED = '"stage":"RequestReceived"';
const DONE = '"stage":"ResponseComplete"';

/** Whose lines have all these words. */
async function* events(audit: string, ...words: readonly string[]): AsyncGenerator<AuditEvent> {
  for await (const line of createInterface({ input: createReadStream(audit) }))
    if (words.every((word) => line.includes(word))) yield JSON.parse(line) as AuditEvent;
}

export function tally(names: Iterable<string>): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return new Map([...counts].toSorted(([, a], [, b]) => b - a));
}
