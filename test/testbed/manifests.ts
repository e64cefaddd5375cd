// The manifests, as tests apply them: what the API server has to know, without what runs in pods.
import { join } from 'node:path';

/** Sources run as they are; what was built lies one folder deeper. */
const CHECKOUT = join(import.meta.dirname, import.meta.filename.endsWith('.js') ? '../../..' : '../..');

export const MANIFESTS = join(CHECKOUT, 'manifests');
export const BASE = join(MANIFESTS, 'base');

/** For kubectl apply: namespace, NodeCapture, roles, admission policies. */
export const API_FILES: readonly string[] = ['namespace', 'crd', 'rbac', 'policies'].flatMap((name) => [
  '-f',
  join(BASE, `${name}.yaml`),
]);
