// Lists the bundles of a store: of each the request and the newest entries are read, and nothing else.
import { stripVTControlCharacters } from 'node:util';
import {
  chainEnd,
  forEachBounded,
  isBundlePath,
  layoutOf,
  REQUEST,
  readWhole,
  type Store,
} from '../../evidence/index.ts';
import { openStore } from '../bundle.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { BundlesArguments } from '../commands/bundles.ts';
import { type Column, escapeText, formatBytes, styled, table } from '../terminal/text.ts';

const MAX_REQUEST_BYTES = 1024 * 1024;

interface Found {
  /** "local/IR-7/0199…" */
  readonly prefix: string;
  objects: number;
  bytes: number;
  entries: number[];
}

export interface ListedBundle {
  readonly bundle: string;
  readonly path: string;
  readonly case: string | null;
  readonly node: string;
  readonly requestedAt: string;
  readonly state: 'sealed' | 'closed' | 'unsealed' | 'unreadable';
  readonly objects: number;
  readonly bytes: number;
}

export async function runBundles(argv: BundlesArguments, environment: Environment): Promise<ExitCode> {
  const { store, path } = await openStore(argv.store, argv);
  const found = await bundlesIn(store);
  const listed: ListedBundle[] = [];
  await forEachBounded(found, store.concurrency, async (bundle) => {
    listed.push(await describe(store, bundle, `${path}/${bundle.prefix}`));
  });
  listed.sort((a, b) => (a.requestedAt < b.requestedAt ? -1 : 1));
  if (environment.json) for (const bundle of listed) environment.stdout.write(`${JSON.stringify(bundle)}\n`);
  else print(listed, path, environment);
  return 0;
}

/** CLUSTER/CASE/ID is a bundle where something of the layout is below it. */
async function bundlesIn(store: Store): Promise<Iterable<Found>> {
  const found = new Map<string, Found>();
  for await (const { path, kind, size } of store.list()) {
    const [cluster, caseId, id, ...rest] = path.split('/');
    const layout = layoutOf(rest.join('/'));
    if (kind !== 'file' || id === undefined || layout === undefined || !isBundlePath(path)) continue;
    const prefix = `${cluster}/${caseId}/${id}`;
    const bundle = found.get(prefix) ?? { prefix, objects: 0, bytes: 0, entries: [] };
    found.set(prefix, bundle);
    bundle.objects++;
    bundle.bytes += size;
    if (layout.kind === 'entry') bundle.entries.push(layout.sequence);
  }
  return found.values();
}

async function describe(store: Store, { prefix, objects, bytes, entries }: Found, path: string): Promise<ListedBundle> {
  const [, caseId = '', id = ''] = prefix.split('/');
  const request = await requestOf(store, prefix);
  return {
    bundle: id,
    path,
    case: caseId === 'no-case' ? null : caseId,
    node: text(request?.node),
    requestedAt: text(request?.requestedAt),
    state: request === undefined ? 'unreadable' : await stateOf(store.below(prefix), entries),
    objects,
    bytes,
  };
}

/** Of the store that was listed: so that of several versions the first is read. */
async function requestOf(store: Store, prefix: string): Promise<Record<string, unknown> | undefined> {
  try {
    const value: unknown = JSON.parse(
      (await readWhole(store, `${prefix}/${REQUEST}`, MAX_REQUEST_BYTES)).toString('utf8'),
    );
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // said in its row
  }
}

async function stateOf(store: Store, entries: readonly number[]): Promise<ListedBundle['state']> {
  try {
    return await chainEnd(store, entries);
  } catch {
    return 'unreadable';
  }
}

function print(listed: readonly ListedBundle[], path: string, { stdout }: Environment): void {
  if (listed.length === 0) {
    stdout.write(`${escapeText(path)} has no bundles\n`);
    return;
  }
  const rows = listed.map((bundle) => [
    escapeText(bundle.requestedAt.replace(/\.\d+Z$/, 'Z')),
    escapeText(bundle.case ?? ''),
    escapeText(bundle.node),
    bundle.state === 'sealed' ? 'sealed' : styled('yellow', bundle.state, stdout),
    formatBytes(bundle.bytes),
    escapeText(bundle.path),
  ]);
  const columns: readonly Column[] = [
    { title: 'TIME' },
    { title: 'CASE' },
    { title: 'NODE' },
    { title: 'STATE' },
    { title: 'SIZE', align: 'right' },
    { title: 'BUNDLE' },
  ];
  const whole = table(columns, rows, Number.POSITIVE_INFINITY);
  const widest = Math.max(...whole.split('\n').map((line) => stripVTControlCharacters(line).length));
  const text = widest <= (stdout.columns ?? widest) ? whole : inTwoLines(columns, rows);
  stdout.write(`${text}\n\nlisted from their chains, not verified\n`);
}

/** A path that is cut cannot be copied: each stands in a line of its own. */
function inTwoLines(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const narrow = columns.slice(0, -1);
  const [title = '', ...lines] = table(narrow, rows, Number.POSITIVE_INFINITY).split('\n');
  return [title, ...lines.flatMap((line, index) => [line, `  ${rows[index]?.at(-1) ?? ''}`])].join('\n');
}

function text(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 200) : '';
}
