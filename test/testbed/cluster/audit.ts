// What the API server was asked, by whom, and by which right it was allowed: its audit log, one object a line.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Of https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/ */
export interface AuditEvent {
  /** ResponseStarted of what goes on, such as a watch; ResponseComplete of what has ended. */
  readonly stage: 'RequestReceived' | 'ResponseStarted' | 'ResponseComplete' | 'Panic';
  readonly requestURI: string;
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly impersonatedUser?: { readonly username: string };
  readonly userAgent?: string;
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code?: number; readonly message?: string };
  /** `authorization.k8s.io/decision` ("allow", "forbid") and `authorization.k8s.io/reason` among them. */
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Where the control plane's place has it, below its folder. */
export function auditLog(folder: string): string {
  return join(folder, 'log', 'audit');
}

/** All of the cluster's, from its start. `directory` is the cluster's. */
export async function readAudit({ directory }: { readonly directory: string }): Promise<readonly AuditEvent[]> {
  const text = await readFile(auditLog(join(directory, 'control')), 'utf8');
  // the last line may be written at this moment
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AuditEvent);
}
