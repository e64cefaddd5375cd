// eBPF objects as the kernel itself lists them, those included that no process holds and nothing pins: by bpftool(8).
import { type GapReport, gap } from '../../../capture/index.ts';
import type { NodeContext } from '../../context.ts';
import { LINK_TYPES } from './bpf-types.ts';

const KINDS = [
  { word: 'prog', kind: 'program' },
  { word: 'map', kind: 'map' },
  { word: 'link', kind: 'link' },
] as const;
const ANSWER_BYTES = 32 * 1024 * 1024;
const ANSWER_SECONDS = 10;

/** Rows of ebpf.jsonl, every field as bpftool gives it; gaps go to `gaps`. */
export async function listedObjects(context: NodeContext, gaps: GapReport[]): Promise<readonly object[]> {
  const { programs, signal } = context;
  const rows: object[] = [];
  for (const { word, kind } of KINDS) {
    const bounds = { signal, seconds: ANSWER_SECONDS, bytes: ANSWER_BYTES };
    const { stdout, kind: ending, why } = await programs.run('bpftool', ['-j', word, 'show'], bounds);
    if (ending === 'missing') {
      gaps.push(gap('unsupported', 'eBPF objects that no process holds', why));
      return rows;
    }
    if (ending === 'done') {
      const objects = objectsIn(stdout, word, gaps);
      if (kind === 'link') declareUnknown(objects, gaps);
      rows.push(...objects.map((item) => rowOf(kind, item)));
    }
    if (ending !== 'done') gaps.push(gap(ending, `bpftool ${word} show`, why));
  }
  const detail = 'to name who holds an object, bpftool may load an iterator program of its own and take it away again';
  context.footprint({ kind: 'note', name: 'bpftool', detail });
  return rows;
}

function rowOf(kind: string, item: object): object {
  const type = kind === 'link' ? unknownType(item) : undefined;
  return { impound: { ebpf: { seen: 'kernel', kind, ...item, ...(type === undefined ? {} : { type }) } } };
}

/** Of a link whose type is newer than the program: it gives the number, and nothing of what it is attached to. */
function unknownType(item: object): string | undefined {
  const type = 'type' in item ? item.type : undefined;
  return typeof type === 'number' ? (LINK_TYPES[type] ?? String(type)) : undefined;
}

/** tcx and netkit programs see and change packets, and no other table has them. */
function declareUnknown(links: readonly object[], gaps: GapReport[]): void {
  for (const link of links) {
    const type = unknownType(link);
    if (type === undefined) continue;
    const name = `bpftool link ${'id' in link ? link.id : ''}`;
    gaps.push(
      gap(
        'unsupported',
        name,
        `links of type ${type} are newer than this bpftool: to what they are attached is not told`,
      ),
    );
  }
}

function objectsIn(stdout: Buffer, word: string, gaps: GapReport[]): readonly object[] {
  try {
    const found: unknown = JSON.parse(stdout.toString('utf8') || '[]');
    if (Array.isArray(found)) return found.filter((item) => typeof item === 'object' && item !== null);
  } catch {
    // below: the same for what is no JSON and what is no list
  }
  gaps.push(gap('failed', `bpftool ${word} show`, 'its answer is no list in JSON'));
  return [];
}
