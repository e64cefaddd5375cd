// The door of the room: the API server as a client of it needs it. Nothing of the domain is known here.
export { type Access, readAccess } from './access.ts';
export { type Ask, type Kubernetes, type KubernetesObject, kubernetes, type List, type Metadata } from './client.ts';
export type { AccessChoice } from './kubeconfig.ts';
export { type Election, elect } from './lease.ts';
export { unlessMissing } from './missing.ts';
export { type Forwarder, portForwarder } from './port-forward.ts';
export { type Done, workQueue } from './queue.ts';
export { type Watched, watchObjects } from './watch.ts';
