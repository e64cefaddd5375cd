// The kernel's keys as /proc/keys and /proc/key-users show them: proc_keys(5), proc_key-users(5).
import { type GapReport, gap } from '../../../capture/index.ts';
import { textField } from '../../../evidence/index.ts';
import type { Host } from '../../host/host.ts';
import { readWhole } from '../../host/kernel-file.ts';

const TABLE_BYTES = 8 * 1024 * 1024;
const KEY = /^([0-9a-f]{8}) (\S{6,8}) +(\d+) +(\S+) ([0-9a-f]{8}) +(-?\d+) +(-?\d+) (\S+) +(.*)$/;
const USER = /^ *(\d+): +(\d+) (\d+)\/(\d+) (\d+)\/(\d+) (\d+)\/(\d+)$/;

/** Rows of keyrings.jsonl; gaps go to `gaps`. Only keys the reader may view are in the kernel's list. */
export function* keyRows(host: Host, gaps: GapReport[]): Generator<Record<string, unknown>> {
  yield* rows(host, 'keys', parseKey, gaps);
  yield* rows(host, 'key-users', parseKeyUser, gaps);
}

/** "021255ec I--Q---     2 perm 1f3f0000     0 65534 keyring   _uid.0: empty" */
export function parseKey(line: string): Record<string, unknown> | undefined {
  const match = KEY.exec(line);
  if (match === null) return undefined;
  const [, serial, flags, usage, expiry, permissions, uid, gid, type, description = ''] = match;
  return {
    user: { id: uid },
    group: { id: gid },
    impound: {
      key: {
        serial,
        flags,
        usage: Number(usage),
        expiry,
        permissions,
        type,
        ...textField('description', Buffer.from(description, 'latin1')),
      },
    },
  };
}

/** "    0:     9 8/8 3/1000000 40/25000000": usage, keys/instantiated, keys and bytes against their quotas. */
export function parseKeyUser(line: string): Record<string, unknown> | undefined {
  const match = USER.exec(line);
  if (match === null) return undefined;
  const [uid, usage, keys, instantiated, counted, most, bytes, mostBytes] = match.slice(1);
  return {
    user: { id: uid },
    impound: {
      keyUser: {
        usage: Number(usage),
        keys: Number(keys),
        instantiated: Number(instantiated),
        quota: { keys: Number(counted), ofKeys: Number(most), bytes: Number(bytes), ofBytes: Number(mostBytes) },
      },
    },
  };
}

function* rows(
  host: Host,
  file: string,
  parse: (line: string) => Record<string, unknown> | undefined,
  gaps: GapReport[],
): Generator<Record<string, unknown>> {
  const found = readWhole(`${host.proc}/${file}`, TABLE_BYTES);
  if (found.kind === 'unreadable') {
    gaps.push(gap(found.reason, `/proc/${file}`, found.detail));
    return;
  }
  if (found.more) gaps.push(gap('truncated', `/proc/${file}`, `limit of ${TABLE_BYTES} bytes`));
  let bad = 0;
  for (const line of found.bytes.toString('latin1').split('\n')) {
    const row = parse(line);
    if (row !== undefined) yield row;
    else if (line !== '') bad++;
  }
  if (bad > 0)
    gaps.push(gap('failed', `/proc/${file}`, `${bad} lines could not be read as keys: the raw file is in raw.tar.zst`));
}
