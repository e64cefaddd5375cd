// Programs the kernel itself starts, as root and outside every container: known ways to persist and to escape.
import { closeSync, lstatSync, readdirSync } from 'node:fs';
import { type GapReport, gap } from '../../../capture/index.ts';
import { textField } from '../../../evidence/index.ts';
import type { Host } from '../../host/host.ts';
import { chunksOf, readWhole, unreadable } from '../../host/kernel-file.ts';
import { superOption } from '../../host/mountinfo.ts';
import { openBelow } from '../../host/open.ts';
import type { ProcessSummary } from '../../host/walk.ts';
import { findMounts, type Mount } from '../sockets/mounts.ts';

const BINFMT = '/proc/sys/fs/binfmt_misc';
const MOST_FORMATS = 4096;

/** Rows of handlers.jsonl; gaps go to `gaps`. */
export function* handlerRows(
  host: Host,
  processes: readonly ProcessSummary[],
  gaps: GapReport[],
): Generator<Record<string, unknown>> {
  for (const name of ['core_pattern', 'modprobe', 'hotplug', 'poweroff_cmd']) {
    // hotplug is there on old kernels only
    yield* setting(`${host.proc}/sys/kernel/${name}`, `/proc/sys/kernel/${name}`, name, gaps, name !== 'hotplug');
  }
  yield* setting(`${host.sys}/kernel/uevent_helper`, '/sys/kernel/uevent_helper', 'uevent_helper', gaps, true);
  const { mounts, unread } = findMounts(host, processes, ({ type }) =>
    ['cgroup', 'binfmt_misc', 'autofs'].includes(type),
  );
  if (unread > 0)
    gaps.push(gap('denied', `mountinfo of ${unread} processes`, 'cgroup hierarchies mounted there are not seen'));
  yield* releaseAgents(host, mounts, gaps);
  yield* formats(host, mounts, gaps);
}

function* setting(
  path: string,
  shown: string,
  handler: string,
  gaps: GapReport[],
  expected: boolean,
): Generator<Record<string, unknown>> {
  const found = readWhole(path, 4096);
  if (found.kind === 'unreadable') {
    if (expected || found.reason !== 'absent') gaps.push(gap(found.reason, shown, found.detail));
    return;
  }
  const value = trimmed(found.bytes);
  yield {
    impound: {
      handler,
      from: shown,
      ...textField('value', value),
      ...(handler === 'core_pattern' ? corePattern(value) : {}),
      set: value.length > 0,
    },
  };
}

/** core(5): "|program arguments" is started for every crash; "@path" is a socket that is handed the dump. */
function corePattern(value: Buffer): Record<string, unknown> {
  const first = String.fromCharCode(value[0] ?? 0);
  const rest = value.subarray(1);
  const blank = rest.indexOf(0x20);
  if (first === '|') return { piped: true, ...textField('program', blank === -1 ? rest : rest.subarray(0, blank)) };
  return first === '@' ? { piped: false, ...textField('socket', rest) } : { piped: false };
}

/**
 * release_agent of every cgroup v1 hierarchy, see cgroups(7): from the file where the host mounts it, and from the
 * mount options that the tables of all mount namespaces show, so that one mounted only inside a container counts.
 */
function* releaseAgents(host: Host, mounts: readonly Mount[], gaps: GapReport[]): Generator<Record<string, unknown>> {
  const done = new Set<string>();
  const hierarchies = mounts.filter(({ type }) => type === 'cgroup');
  for (const mount of hierarchies) {
    const controllers = mount.superOptions
      .split(',')
      .filter((option) => option !== 'rw' && option !== 'ro' && !option.startsWith('release_agent='));
    const inOptions = superOption(mount, 'release_agent');
    const point = Buffer.from(mount.point, 'latin1').toString();
    // only the root of a hierarchy has the file, and only PID 1's mount points are paths of the host
    const file = mount.pid === 1 && mount.root === '/' ? agentFile(host, point, gaps) : undefined;
    const value = file?.value ?? (inOptions === undefined ? undefined : Buffer.from(inOptions, 'latin1'));
    const key = `${controllers.join(',')} ${value?.toString('latin1') ?? ''}`;
    if (value === undefined || done.has(key)) continue;
    done.add(key);
    yield {
      impound: {
        handler: 'release_agent',
        from: file === undefined ? `mount options of ${point} (seen by pid ${mount.pid})` : `${point}/release_agent`,
        controllers,
        ...textField('value', value),
        set: value.length > 0,
        ...(file?.notify === undefined ? {} : { notifyOnRelease: file.notify }),
      },
    };
  }
}

function agentFile(
  host: Host,
  point: string,
  gaps: GapReport[],
): { readonly value: Buffer; readonly notify: boolean | undefined } | undefined {
  try {
    const value = cgroupFile(host, `${point}/release_agent`);
    return { value, notify: cgroupFile(host, `${point}/notify_on_release`).toString() === '1' };
  } catch (error) {
    const failure = unreadable(error);
    gaps.push(gap(failure.reason, `${point}/release_agent`, failure.detail));
    return undefined;
  }
}

/** A hierarchy can be mounted anywhere: its path is gone down without following any link. */
function cgroupFile(host: Host, path: string): Buffer {
  const below = path.startsWith('/sys/')
    ? ([host.sys, path.slice('/sys/'.length)] as const)
    : ([host.root, path] as const);
  const { fd } = openBelow(...below);
  try {
    return trimmed(Buffer.concat([...chunksOf(fd, 4096)]));
  } finally {
    closeSync(fd);
  }
}

/** Interpreters registered by magic number or extension; flags C and F keep credentials, and cross containers. */
function* formats(host: Host, mounts: readonly Mount[], gaps: GapReport[]): Generator<Record<string, unknown>> {
  const here = mounts.filter(({ point, pid }) => point === BINFMT && pid === 1);
  if (here.length > 0 && here.every(({ type }) => type === 'autofs')) {
    gaps.push(
      gap(
        'absent',
        BINFMT,
        'an automount that nobody has used: nothing is registered through it, and it was not triggered',
      ),
    );
    return;
  }
  const directory = `${host.proc}/sys/fs/binfmt_misc`;
  let names: readonly string[];
  try {
    names = lstatSync(directory).isDirectory() ? readdirSync(directory) : [];
  } catch (error) {
    const failure = unreadable(error);
    gaps.push(gap(failure.reason, BINFMT, failure.detail));
    return;
  }
  if (names.length === 0) gaps.push(gap('absent', BINFMT, 'not mounted'));
  if (names.length > MOST_FORMATS)
    gaps.push(gap('truncated', BINFMT, `limit of ${MOST_FORMATS} formats: ${names.length - MOST_FORMATS} left`));
  for (const name of names.slice(0, MOST_FORMATS)) {
    if (name === 'register') continue; // write-only
    const found = readWhole(`${directory}/${name}`, 16 * 1024);
    if (found.kind === 'unreadable') gaps.push(gap(found.reason, `${BINFMT}/${name}`, found.detail));
    else yield { impound: { handler: 'binfmt_misc', from: `${BINFMT}/${name}`, name, ...format(found.bytes) } };
  }
}

/** Documentation/admin-guide/binfmt-misc.rst: "enabled", then "interpreter /x", "flags: OCF", "offset 0", "magic 7f45". */
function format(bytes: Buffer): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const line of bytes.toString('latin1').split('\n')) {
    const match = /^(interpreter|flags:|offset|magic|mask|extension) (.*)$/.exec(line);
    if (line === 'enabled' || line === 'disabled') fields.enabled = line === 'enabled';
    else if (match?.[1] === 'interpreter')
      Object.assign(fields, textField('interpreter', Buffer.from(match[2] ?? '', 'latin1')));
    else if (match?.[1] !== undefined) fields[match[1].replace(':', '')] = match[2];
  }
  return fields;
}

function trimmed(bytes: Buffer): Buffer {
  return bytes.at(-1) === 0x0a ? bytes.subarray(0, -1) : bytes;
}
