// Reads --suspect.
import type { Suspect } from '../../agent/index.ts';
import { usage } from '../usage.ts';

/** `pod:NS/NAME`, `container:ID` or `pid:N`; throws `usage`. */
export function parseSuspect(text: string): Suspect {
  const pod = /^pod:([a-z0-9.-]+)\/([a-z0-9.-]+)$/.exec(text);
  if (pod?.[1] !== undefined && pod[2] !== undefined) return { kind: 'pod', namespace: pod[1], name: pod[2] };
  const container = /^container:([A-Za-z0-9_.-]+)$/.exec(text);
  if (container?.[1] !== undefined) return { kind: 'container', id: container[1] };
  const pid = /^pid:([1-9]\d{0,9})$/.exec(text);
  if (pid?.[1] !== undefined) return { kind: 'pid', pid: Number(pid[1]) };
  throw usage(`--suspect ${text}: write pod:NAMESPACE/NAME, container:ID or pid:NUMBER`, { thing: text });
}
