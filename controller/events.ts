// Tells what happens where people look: Kubernetes events about a capture and its node. None of it may fail a capture.
import { createHash } from 'node:crypto';
import { type Clock, describeError, type Logger } from '../evidence/index.ts';
import { type Kubernetes, unlessMissing } from '../kubernetes/index.ts';

/** An object without a namespace: its events are in the namespace "default". */
export interface Regarding {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

export interface Told {
  readonly type: 'Normal' | 'Warning';
  /** One word for programs, as a condition's reason. */
  readonly reason: string;
  readonly message: string;
  /** The capture, and the node where it concerns that too: one event each. */
  readonly regarding: readonly Regarding[];
}

export interface EventsOptions {
  readonly log: Logger;
  readonly clock: Clock;
  /** Which replica: its pod's name. */
  readonly instance: string;
}

export interface Events {
  /** Returns at once; what cannot be told is logged. The same within ten minutes is told once, with a count. */
  emit(told: Told): void;
  /** When all that was emitted before is told or given up: for an orderly end, and for tests. */
  settled(): Promise<void>;
}

const EVENTS = '/api/v1/namespaces/default/events';
const CONTROLLER = 'impound-controller';
const SAME_MILLISECONDS = 10 * 60_000;
/** Different ones that are counted up; the oldest is forgotten, and told anew when it comes again. */
const MAX_KNOWN = 1000;
/** That wait for the API server, one at a time; more are logged and dropped. */
const MAX_WAITING = 100;
/** Of https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ */
const MAX_MESSAGE = 1024;
const MAX_REASON = 128;
/** Of an object's name, less the digits that make it an event's. */
const MAX_NAME = 253 - 17;

interface Known {
  readonly name: string;
  readonly since: number;
  count: number;
}

export function openEvents(kubernetes: Kubernetes, { log, clock, instance }: EventsOptions): Events {
  const known = new Map<string, Known>();
  let waiting = 0;
  let last: Promise<void> = Promise.resolve();

  const tell = async (told: Told, regarding: Regarding): Promise<void> => {
    const now = clock.now();
    const key = JSON.stringify([regarding.kind, regarding.uid, told.type, told.reason, told.message]);
    const before = known.get(key);
    if (before !== undefined && now.getTime() - before.since < SAME_MILLISECONDS) {
      if (await countUp(kubernetes, before, now)) return;
    }
    const digest = createHash('sha256').update(`${key} ${now.toISOString()} ${instance}`).digest('hex').slice(0, 16);
    const name = `${regarding.name.slice(0, MAX_NAME)}.${digest}`;
    await kubernetes.create(EVENTS, eventOf(name, told, regarding, now, instance));
    known.delete(key); // so that it is the youngest
    known.set(key, { name, since: now.getTime(), count: 1 });
    for (const oldest of known.keys()) {
      if (known.size <= MAX_KNOWN) break;
      known.delete(oldest);
    }
  };

  return {
    emit(told) {
      for (const regarding of told.regarding) {
        const fields = { reason: told.reason, kind: regarding.kind, name: regarding.name };
        if (waiting >= MAX_WAITING) {
          log.warn('event dropped: too many wait for the API server', fields);
          continue;
        }
        waiting++;
        last = last
          .then(() => tell(told, regarding))
          .catch((error: unknown) => log.warn('event not told', { ...fields, error: describeError(error) }))
          .finally(() => {
            waiting--;
          });
      }
    },
    settled: () => last,
  };
}

/** False where it is gone: the API server keeps events for an hour, or less. */
async function countUp(kubernetes: Kubernetes, known: Known, now: Date): Promise<boolean> {
  const body = { count: known.count + 1, lastTimestamp: secondsOf(now) };
  const patched = await unlessMissing(kubernetes.patch(`${EVENTS}/${known.name}`, 'merge', body));
  if (patched === undefined) return false;
  known.count++;
  return true;
}

function eventOf(
  name: string,
  { type, reason, message }: Told,
  regarding: Regarding,
  now: Date,
  instance: string,
): object {
  const at = secondsOf(now);
  return {
    metadata: { name, namespace: 'default' },
    involvedObject: regarding,
    ...{ type, reason: reason.slice(0, MAX_REASON), message: shortened(message) },
    ...{ firstTimestamp: at, lastTimestamp: at, count: 1 },
    source: { component: CONTROLLER },
    // the field is called reportingController in events.k8s.io/v1
    ...{ reportingComponent: CONTROLLER, reportingInstance: instance.slice(0, MAX_REASON) },
  };
}

/** Also of what begins a line, or a terminal's sequence, of its own. */
function shortened(message: string): string {
  const plain = message.replace(/\p{Cc}+/gu, ' ');
  // the API server counts bytes
  const bytes = Buffer.from(plain);
  if (bytes.length <= MAX_MESSAGE) return plain;
  return `${bytes.toString('utf8', 0, MAX_MESSAGE - 6).replace(/\uFFFD+$/, '')}…`;
}

/** metav1.Time has whole seconds. */
function secondsOf(time: Date): string {
  return `${time.toISOString().slice(0, 19)}Z`;
}
