// How the collector asks: lists by pages, single objects; what cannot be had becomes a gap, and loses nothing else.
import { type GapReport, gap } from '../../../capture/index.ts';
import { describeError, type GapReason, ImpoundError } from '../../../evidence/index.ts';
import type { Kubernetes, KubernetesObject, List } from '../../../kubernetes/index.ts';

/** Objects a page. One may have 1.5 MiB (etcd's limit): 25 such still fit into what the client takes of an answer. */
const PAGE = 250;
const SMALL_PAGE = 25;
/** Of one list, over all pages. */
const MAX_OBJECTS = 100_000;
const MILLISECONDS = 15_000;

const DENIED =
  "the API server refused: the controller's service account lacks this right (ClusterRole impound-controller in manifests/base/rbac.yaml)";

export interface Source {
  /** "pods of node node1": for a gap's name. */
  readonly what: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
}

export type Row = Readonly<Record<string, unknown>> & KubernetesObject;

export interface Asking {
  readonly kubernetes: Kubernetes;
  readonly signal: AbortSignal;
  gap(found: GapReport): void;
}

/** What one artefact's rows are made of: how much was answered, and what was not. */
export interface Answers {
  /** Undefined where it cannot be had: a gap says so. */
  object(source: Source): Promise<Row | undefined>;
  /** Ends early where the rest cannot be had: a gap says so. */
  objects(source: Source): AsyncGenerator<Row>;
  readonly answered: number;
  readonly lost: readonly string[];
}

export function answers({ kubernetes, signal, gap: declare }: Asking): Answers {
  let answered = 0;
  const lost: string[] = [];
  const lose = (found: GapReport): void => {
    lost.push(found.name);
    declare(found);
  };
  /** Throws only when the capture is stopped. */
  const failed = (error: unknown, verb: 'get' | 'list', { what }: Source): void => {
    const code = error instanceof ImpoundError ? error.code : undefined;
    if (code === 'aborted' || signal.aborted) throw error;
    const name = `${verb} ${what}`;
    // no loss: there is nothing of the kind
    if (code === 'api-missing' && verb === 'list') declare(gap('absent', name, 'this API server does not serve it'));
    else lose(gapOf(error, name));
  };
  const page = async (
    source: Source,
    next: string,
  ): Promise<List<KubernetesObject> & { readonly kind?: string; readonly apiVersion?: string }> => {
    const ask = (limit: number): ReturnType<typeof page> =>
      kubernetes.get(source.path, {
        query: { ...source.query, limit, ...(next === '' ? {} : { continue: next }) },
        ...{ signal, milliseconds: MILLISECONDS },
      });
    try {
      return await ask(PAGE);
    } catch (error) {
      const final = ['api-denied', 'api-missing', 'api-expired', 'api-invalid', 'aborted'];
      if (error instanceof ImpoundError && final.includes(error.code)) throw error;
      return await ask(SMALL_PAGE); // too large, too slow, or an answer that was lost
    }
  };
  return {
    get answered() {
      return answered;
    },
    lost,
    async object(source) {
      try {
        const found = await kubernetes.get<KubernetesObject>(source.path, { signal, milliseconds: MILLISECONDS });
        answered++;
        return rowOf(found);
      } catch (error) {
        failed(error, 'get', source);
        return undefined;
      }
    },
    async *objects(source) {
      let count = 0;
      let next = '';
      do {
        let answer: Awaited<ReturnType<typeof page>>;
        try {
          answer = await page(source, next);
        } catch (error) {
          failed(error, 'list', source);
          return;
        }
        answered++;
        const { kind = '', apiVersion = '' } = answer;
        for (const item of answer.items) yield rowOf(item, apiVersion, kind.replace(/List$/, ''));
        count += answer.items.length;
        next = answer.metadata.continue ?? '';
        if (next !== '' && count >= MAX_OBJECTS) {
          lose(gap('truncated', `list ${source.what}`, `more than ${MAX_OBJECTS} objects`));
          return;
        }
      } while (next !== '');
    },
  };
}

/** A list's items do not name their kind; managedFields say which program wrote which field, and double the size. */
function rowOf(object: KubernetesObject, apiVersion?: string, kind?: string): Row {
  const metadata = { ...object.metadata, managedFields: undefined };
  return { ...(apiVersion === undefined ? {} : { apiVersion, kind }), ...object, metadata };
}

function gapOf(error: unknown, name: string): GapReport {
  const code = error instanceof ImpoundError ? error.code : undefined;
  const reasons: Partial<Record<string, readonly [GapReason, string]>> = {
    'api-denied': ['denied', DENIED],
    'api-missing': ['vanished', 'it is not there, or not any more'],
    'api-expired': [
      'truncated',
      'the list changed for longer than the API server keeps it; what was read before is kept',
    ],
  };
  const [reason, detail] = reasons[code ?? ''] ?? ['failed', code ?? describeError(error)];
  return gap(reason, name, detail);
}
