// What the API server refuses to this program: said once in its log with what to do, and remembered as long as it is so.
import { ImpoundError, type Logger } from '../evidence/index.ts';
import type { Kubernetes } from '../kubernetes/index.ts';

export interface Denials {
  /** The same, watched. */
  readonly kubernetes: Kubernetes;
  /** What was refused lately, of this resource ("tokenreviews") or of what no capture can do without. */
  denied(resource?: string): string | undefined;
}

interface Denial {
  readonly resource: string;
  readonly message: string;
  at: number;
}

/** Asked for all the time while they are refused; what is asked once, such as a node's patch, may be had meanwhile. */
const LATELY_MILLISECONDS = 60_000;
const NEEDED: ReadonlySet<string> = new Set(['nodecaptures', 'leases', 'tokenreviews', 'nodes']);

/** `counted`: of each refusal. */
export function watchDenials(
  kubernetes: Kubernetes,
  log: Logger,
  counted: (verb: string, resource: string) => void,
): Denials {
  /** By verb and resource: as many as the program has words for. */
  const known = new Map<string, Denial>();

  const allowed = (verb: string, path: string): void => {
    const key = `${verb} ${kindOf(path)}`;
    if (known.delete(key)) log.info('the API server allows it again', { verb, resource: kindOf(path) });
  };
  const failed = (verb: string, path: string, error: unknown): void => {
    if (!(error instanceof ImpoundError)) return;
    const resource = kindOf(path);
    const key = `${verb} ${resource}`;
    if (error.code !== 'api-denied') {
      // an answer of another kind comes after the question whether it is allowed
      if (ANSWERED.has(error.code)) allowed(verb, path);
      return;
    }
    counted(verb, resource);
    const before = known.get(key);
    known.set(key, { resource: resource.split('/')[0] ?? '', message: error.message, at: performance.now() });
    if (before !== undefined && performance.now() - before.at <= LATELY_MILLISECONDS) return;
    log.error(`the API server refuses what the controller asks for: ${remedy(error.message)}`, {
      ...{ code: 'api-denied', verb, resource, error: error.message },
    });
  };
  const watched = async <T>(verb: string, path: string, work: Promise<T>): Promise<T> => {
    try {
      const result = await work;
      allowed(verb, path);
      return result;
    } catch (error) {
      failed(verb, path, error);
      throw error;
    }
  };
  return {
    kubernetes: {
      server: kubernetes.server,
      get: (path, ask) => watched('get', path, kubernetes.get(path, ask)),
      create: (path, body, ask) => watched('create', path, kubernetes.create(path, body, ask)),
      replace: (path, body, ask) => watched('update', path, kubernetes.replace(path, body, ask)),
      patch: (path, kind, body, ask) => watched('patch', path, kubernetes.patch(path, kind, body, ask)),
      remove: (path, ask) => watched('delete', path, kubernetes.remove(path, ask)),
      list: (path, ask) => watched('list', path, kubernetes.list(path, ask)),
      async *watch(path, ask, opened) {
        const began = (): void => {
          allowed('watch', path);
          opened?.();
        };
        try {
          yield* kubernetes.watch(path, ask, began);
        } catch (error) {
          failed('watch', path, error);
          throw error;
        }
      },
      close: () => kubernetes.close(),
    },
    denied(resource) {
      const now = performance.now();
      for (const denial of known.values()) {
        const isMeant = resource === undefined ? NEEDED.has(denial.resource) : denial.resource === resource;
        if (isMeant && now - denial.at <= LATELY_MILLISECONDS) return denial.message;
      }
      return undefined;
    },
  };
}

const ANSWERED: ReadonlySet<string> = new Set(['api-missing', 'api-conflict', 'api-invalid', 'api-expired']);

function remedy(message: string): string {
  return /Unauthorized|HTTP 401/.test(message)
    ? 'it does not know the token of this pod any more, so the service account was deleted or made anew: apply the manifests, and replace the pods'
    : 'apply manifests/base/rbac.yaml, which has each of its rights';
}

/** `/api/v1/namespaces/NAMESPACE/pods/NAME` as "pods", with the subresource where there is one. */
function kindOf(path: string): string {
  const parts = path.split('/').slice(path.startsWith('/apis/') ? 4 : 3);
  const [resource = '', , subresource] = parts[0] === 'namespaces' && parts.length > 2 ? parts.slice(2) : parts;
  return subresource === undefined ? resource : `${resource}/${subresource}`;
}
