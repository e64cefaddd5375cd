// Objects of the watches as they are used: captures read by their schema, uids of nodes and pods by name.
import { describeError, type Logger } from '../evidence/index.ts';
import { type Kubernetes, type KubernetesObject, unlessMissing } from '../kubernetes/index.ts';
import { type NodeCapture, parseNodeCapture } from '../protocol/index.ts';

export interface Parsed {
  get(name: string): NodeCapture | undefined;
  all(): readonly NodeCapture[];
  /** Whether the capture of this uid is of that node, and agents may be at work for it. */
  isCollecting(uid: string, node: string): boolean;
  /** As the watch tells of it; what is no NodeCapture of this version is logged and left alone. */
  set(name: string, object: KubernetesObject | undefined): NodeCapture | undefined;
  byPhase(): ReadonlyMap<string, number>;
  /** As the API server answered to a write of this replica. */
  wrote(object: KubernetesObject): void;
  /** The watch has not told of the last write yet, which it does within moments: what is known here was before it. */
  isBehind(name: string): boolean;
}

/** A version that was skipped, in a list or by a later one, is not waited for longer than this. */
const BEHIND_MILLISECONDS = 1000;

export function capturesByName(log: Logger): Parsed {
  const captures = new Map<string, NodeCapture>();
  /** By name, until the watch tells of that version. */
  const written = new Map<string, { readonly version: string; readonly at: number }>();
  return {
    get: (name) => captures.get(name),
    all: () => [...captures.values()],
    isCollecting: (uid, node) =>
      captures.values().some(({ metadata, spec, status }) => {
        const collecting = status?.phase === 'Protecting' || status?.phase === 'Collecting';
        return metadata.uid === uid && spec.node === node && collecting;
      }),
    set(name, object) {
      captures.delete(name);
      if (object === undefined || object.metadata.resourceVersion === written.get(name)?.version) written.delete(name);
      if (object === undefined) return undefined;
      try {
        const capture = parseNodeCapture(object);
        captures.set(name, capture);
        return capture;
      } catch (error) {
        log.error('a NodeCapture cannot be read by this version', { capture: name, error: describeError(error) });
        return undefined;
      }
    },
    byPhase() {
      const counts = new Map<string, number>();
      for (const { status } of captures.values()) {
        const phase = status?.phase ?? 'Pending';
        counts.set(phase, (counts.get(phase) ?? 0) + 1);
      }
      return counts;
    },
    wrote({ metadata: { name, resourceVersion: version } }) {
      const known = captures.get(name);
      if (known !== undefined && known.metadata.resourceVersion !== version)
        written.set(name, { version, at: performance.now() });
    },
    isBehind(name) {
      const last = written.get(name);
      return last !== undefined && performance.now() - last.at < BEHIND_MILLISECONDS;
    },
  };
}

/** The same; what it writes to a capture is told. */
export function tellingWrites(kubernetes: Kubernetes, path: string, captures: Pick<Parsed, 'wrote'>): Kubernetes {
  return {
    ...kubernetes,
    async patch<T>(...[at, ...words]: Parameters<Kubernetes['patch']>): Promise<T> {
      const answer = await kubernetes.patch<T>(at, ...words);
      if (at.startsWith(`${path}/`)) captures.wrote(answer as KubernetesObject);
      return answer;
    },
  };
}

/** From the watch; what it does not know yet is asked for. Undefined where there is no such object. */
export function uidLookup(
  kubernetes: Kubernetes,
  path: string,
  watched: (name: string) => KubernetesObject | undefined,
): (name: string) => Promise<string | undefined> {
  return async (name) => {
    const known = watched(name)?.metadata.uid;
    if (known !== undefined) return known;
    const found = await unlessMissing(kubernetes.get<KubernetesObject>(`${path}/${encodeURIComponent(name)}`));
    return found?.metadata.uid;
  };
}
