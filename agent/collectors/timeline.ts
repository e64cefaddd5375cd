// Every name of the node's local file systems with its times, as a bodyfile; and the files that give their caller rights.

import { type Artefact, type Collector, type GapReport, gap } from '../../capture/index.ts';
import { Channel, describeError, jsonLines, textField } from '../../evidence/index.ts';
import type { NodeContext } from '../context.ts';
import { fileMode, fileTime } from '../host/file-fields.ts';
import { fileCapabilities } from './timeline/capabilities.ts';
import type { SetIdFile, TimelineTree } from './timeline/shared.ts';
import { timelineMessages } from './timeline/thread.ts';
import { timelineTrees } from './timeline/trees.ts';

/** Names of all trees together: a node with many images has some hundreds of thousands. */
const MAX_ITEMS = 20_000_000;
/** Executable files held until getcap(8) is asked; some 100 bytes each. */
const MAX_EXECUTABLES = 300_000;
/** Of their paths, which may be long on purpose. */
const MAX_PATH_BYTES = 48 * 1024 * 1024;

export const timeline: Collector<NodeContext> = Object.freeze({
  name: 'timeline',
  description: 'Bodyfile of all local file systems and of containers’ upper directories; set-id files and capabilities',
  phase: 'bulk',
  volatility: 80,
  artefacts: ['60-file/bodyfile.zst', '60-file/setuid.jsonl', '60-file/trees.jsonl'],
  needs: [
    { kind: 'capability', name: 'CAP_DAC_READ_SEARCH', without: 'folders of others' },
    { kind: 'program', name: 'getcap', without: 'file capabilities' },
  ],
  limits: { bytes: 4 * 1024 ** 3, seconds: 600 },
  collect,
} satisfies Collector<NodeContext>);

type Row = Record<string, unknown>;

/** Tables that the walk fills while the bodyfile is read. */
interface Tables {
  readonly rights: Channel<Row>;
  readonly trees: Channel<Row>;
}

async function* collect(context: NodeContext): AsyncGenerator<Artefact | GapReport> {
  const tables: Tables = { rights: new Channel<Row>(64), trees: new Channel<Row>(64) };
  const source = 'lstat of every name below /';
  yield { kind: 'artefact', path: '60-file/bodyfile.zst', source, content: bodyfile(context, tables) };
  yield { kind: 'artefact', path: '60-file/setuid.jsonl', source, content: jsonLines(tables.rights) };
  yield { kind: 'artefact', path: '60-file/trees.jsonl', source, content: jsonLines(tables.trees) };
  await Promise.all([tables.rights.drained, tables.trees.drained]);
}

async function* bodyfile(context: NodeContext, tables: Tables): AsyncGenerator<Uint8Array> {
  try {
    const { trees, elsewhere } = await timelineTrees(context);
    const order = { root: context.host.root, trees, leaveOut: context.ownFolders, elsewhere, items: MAX_ITEMS };
    const executables: string[] = [];
    let more = 0;
    let bytes = 0;
    for await (const message of timelineMessages(order, context.signal)) {
      for (const found of message.gaps) context.gap(found);
      if (message.kind === 'end') {
        for (const [index, tree] of trees.entries()) await tables.trees.push(treeRow(tree, message.counts[index] ?? 0));
        continue;
      }
      for (const file of message.setId) await tables.rights.push(setIdRow(file, trees[file.tree]));
      for (const { tree, path } of message.executables) {
        bytes += path.length;
        if (executables.length < MAX_EXECUTABLES && bytes < MAX_PATH_BYTES)
          executables.push(seenAs(context, trees[tree], path));
        else more++;
      }
      if (message.text.length > 0) yield message.text;
    }
    tables.trees.end();
    if (more > 0)
      context.gap(
        gap(
          'truncated',
          `file capabilities of ${more} files`,
          `more than ${MAX_EXECUTABLES} executables, or names too long to be held`,
        ),
      );
    for await (const { path, capabilities } of fileCapabilities(context, executables)) {
      const tree = trees.findLast(({ path: folder }) => path.startsWith(`${seenAs(context, { path: folder }, '')}`));
      await tables.rights.push(capableRow(context, tree, path, capabilities));
    }
  } catch (error) {
    for (const table of [tables.rights, tables.trees]) table.end(new Error(describeError(error)));
    throw error;
  } finally {
    for (const table of [tables.rights, tables.trees]) table.end();
  }
}

/** The path of a tree's item as this process sees it. */
function seenAs({ host }: NodeContext, tree: { readonly path: string } | undefined, path: string): string {
  return host.path(`${tree?.path ?? ''}/${path}`);
}

function treeRow({ prefix, path, container }: TimelineTree, count: number): Row {
  return {
    file: { path },
    ...(container === undefined ? {} : { container: { id: container } }),
    impound: { prefix: prefix === '' ? '/' : prefix, names: count },
  };
}

function setIdRow(file: SetIdFile, tree: TimelineTree | undefined): Row {
  const { mode, sha256, mtime, ctime, uid, gid, size, inode, device } = file;
  return {
    file: {
      ...textField('path', Buffer.concat([Buffer.from('/'), file.path])),
      mode: fileMode(mode),
      uid: String(uid),
      gid: String(gid),
      size,
      inode,
      device,
      mtime: fileTime(mtime),
      ctime: fileTime(ctime),
      ...(sha256 === undefined ? {} : { hash: { sha256 } }),
    },
    ...(tree?.container === undefined ? {} : { container: { id: tree.container } }),
    impound: {
      setuid: (mode & 0o4000) === 0 ? undefined : true,
      setgid: (mode & 0o2000) === 0 ? undefined : true,
      prefix: tree?.prefix,
    },
  };
}

function capableRow(context: NodeContext, tree: TimelineTree | undefined, path: string, capabilities: string): Row {
  const folder = seenAs(context, tree, '');
  return {
    file: { path: `/${path.slice(folder.length).replace(/^\//, '')}` },
    ...(tree?.container === undefined ? {} : { container: { id: tree.container } }),
    impound: { capabilities, prefix: tree?.prefix },
  };
}
