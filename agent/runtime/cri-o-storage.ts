// Reads what CRI-O and podman keep of containers on disk (containers/storage, driver overlay): no program is asked.
import { closeSync } from 'node:fs';
import type { Gap } from '../../evidence/index.ts';
import { errnoOf, gapOf } from '../host/errno.ts';
import type { Host } from '../host/host.ts';
import { pinBelow } from '../host/open.ts';
import { readBelow, readKernelText } from '../host/read.ts';
import { resolveBelow, resolver } from '../host/resolve.ts';
import { jsonOf } from './grpc-json.ts';

/** Where Debian, Red Hat and CRI-O itself put it; storage.conf(5) can name another. */
export const STORAGE = '/var/lib/containers/storage';
/** What goes with a reboot: runroot of storage.conf(5). */
export const RUN_STORAGE = '/run/containers/storage';
const LIST = `${STORAGE}/overlay-containers/containers.json`;

const MAX_LIST_BYTES = 64 * 1024 * 1024;
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;
const MAX_LOWER_BYTES = 64 * 1024;
const MAX_STORED = 5000;

/** One entry of containers.json, with the container's runtime specification and state where they were readable. */
export interface StoredContainer {
  readonly id: string;
  readonly entry: Readonly<Record<string, unknown>>;
  /** The engine's own words about it, a JSON text within the entry. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** The OCI runtime specification. */
  readonly config: Readonly<Record<string, unknown>>;
  /** CRI-O's state of it; empty for podman's. */
  readonly state: Readonly<Record<string, unknown>>;
  /** The specification's, with the kubelet's labels among them. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly engine: 'cri-o' | 'podman';
  /** Its first process, where that still runs in it. */
  readonly pid?: number;
  readonly layer?: { readonly upper: string; readonly lower: readonly string[] };
}

/** Links on the way are the host's: they are followed inside its root. */
export function hasStorage(host: Host): boolean {
  try {
    closeSync(pinBelow(host.root, resolveBelow(host.root, `${STORAGE}/overlay-containers`)));
    return true;
  } catch (error) {
    // what is there and may not be read is a gap of whoever reads it
    return errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ENOTDIR';
  }
}

/** Reads below the host's root, each path by the host's own links. */
interface Reader {
  readonly host: Host;
  readonly resolve: (path: string) => string;
  readonly gap: (gap: Gap) => void;
}

/** None where there is no such storage here. What could not be read is given to `gap`. */
export function* storedContainers(host: Host, gap: (gap: Gap) => void): Generator<StoredContainer> {
  const reader: Reader = { host, resolve: resolver(host.root), gap };
  const listed = jsonIn(reader, LIST, MAX_LIST_BYTES);
  const entries = Array.isArray(listed) ? listed.map(record) : [];
  if (entries.length > MAX_STORED) {
    const name = `${LIST}: ${entries.length - MAX_STORED} left`;
    gap({ reason: 'truncated', name, detail: `more than ${MAX_STORED} containers` });
  }
  for (const entry of entries.slice(0, MAX_STORED)) {
    const id = text(entry.id);
    // it becomes a path below
    if (id === undefined || !/^[0-9a-f]{64}$/.test(id)) continue;
    const config = userdata(reader, id, 'config.json');
    const state = userdata(reader, id, 'state.json');
    const own = texts(config.annotations);
    // CRI-O keeps the labels that the kubelet gave as one JSON text
    const annotations = { ...texts(parsedRecord(own['io.kubernetes.cri-o.Labels'] ?? '')), ...own };
    const metadata = parsedRecord(text(entry.metadata) ?? '');
    const engine = isCrio(annotations, metadata) ? 'cri-o' : 'podman';
    const pid = pidOf(reader, id);
    const layer = layerOf(reader, text(entry.layer));
    const found = { id, entry, metadata, config, state, annotations, engine } as const;
    yield { ...found, ...(pid === undefined ? {} : { pid }), ...(layer === undefined ? {} : { layer }) };
  }
}

function isCrio(annotations: Readonly<Record<string, string>>, metadata: Readonly<Record<string, unknown>>): boolean {
  return Object.keys(annotations).some((name) => name.startsWith('io.kubernetes.cri-o.')) || 'pod-id' in metadata;
}

/** CRI-O writes below both folders, podman below the first one. */
function userdata(reader: Reader, id: string, name: string): Readonly<Record<string, unknown>> {
  for (const folder of [STORAGE, RUN_STORAGE]) {
    const found = jsonIn(reader, `${folder}/overlay-containers/${id}/userdata/${name}`, MAX_CONFIG_BYTES);
    if (found !== undefined) return record(found);
  }
  return {};
}

/** The PID is believed where the process is in the container's cgroup: PIDs are used again. */
function pidOf(reader: Reader, id: string): number | undefined {
  for (const folder of [RUN_STORAGE, STORAGE]) {
    const path = `${folder}/overlay-containers/${id}/userdata/pidfile`;
    const pid = Number(textIn(reader, path, 32)?.trim() || undefined);
    if (!Number.isInteger(pid) || pid < 1) continue;
    if (cgroupOf(reader.host, pid)?.includes(id)) return pid;
  }
  return undefined;
}

function cgroupOf(host: Host, pid: number): string | undefined {
  try {
    return readKernelText(`${host.proc}/${pid}/cgroup`);
  } catch {
    return undefined; // it has ended
  }
}

/** `lower` names folders by short links, the topmost one first: "l/7XK…:l/Q2B…". */
function layerOf(reader: Reader, id: string | undefined): StoredContainer['layer'] {
  if (id === undefined || !/^[0-9a-f]{64}$/.test(id)) return undefined;
  const folder = `${STORAGE}/overlay/${id}`;
  const { resolve, gap } = reader;
  const lower: string[] = [];
  for (const link of (textIn(reader, `${folder}/lower`, MAX_LOWER_BYTES) ?? '').split(':')) {
    if (!/^l\/[A-Z0-9]+$/.test(link)) continue;
    try {
      const found = resolve(`${STORAGE}/overlay/${link}`);
      // the links are files like others: one that leads elsewhere would pass off that as part of an image
      if (found.startsWith(`${resolve(`${STORAGE}/overlay`)}/`)) lower.push(found);
      else gap({ reason: 'skipped', name: `${STORAGE}/overlay/${link}`, detail: 'it leads out of the storage' });
    } catch (error) {
      gap(gapOf(error, `${STORAGE}/overlay/${link}`));
    }
  }
  return { upper: `${folder}/diff`, lower };
}

function jsonIn({ host, resolve, gap }: Reader, path: string, bound: number): unknown {
  try {
    const { bytes, left } = readBelow(host.root, resolve(path), bound);
    if (left > 0) {
      gap({ reason: 'truncated', name: `${path}: ${left} bytes left`, detail: `larger than ${bound} bytes` });
      return undefined;
    }
    const parsed = jsonOf(bytes.toString('utf8'));
    if (parsed === undefined) gap({ reason: 'failed', name: path, detail: 'it is not JSON' });
    return parsed;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') gap(gapOf(error, path));
    return undefined;
  }
}

function textIn({ host, resolve }: Reader, path: string, bound: number): string | undefined {
  try {
    return readBelow(host.root, resolve(path), bound).bytes.toString('utf8');
  } catch {
    return undefined; // a file that not every container has
  }
}

function parsedRecord(json: string): Readonly<Record<string, unknown>> {
  return record(jsonOf(json));
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function texts(value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(record(value)).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return Object.fromEntries(entries);
}
