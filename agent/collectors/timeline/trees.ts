// Which folders the timeline walks: the host's root, and every container's upper directory under a name of its own.
import type { KnownContainer } from '../../containers.ts';
import type { NodeContext } from '../../context.ts';
import { MAX_MOUNTINFO, mountLines, superOption } from '../../host/mountinfo.ts';
import { kernelReader } from '../../host/read.ts';
import { resolver } from '../../host/resolve.ts';
import type { TimelineTree } from './shared.ts';

interface Trees {
  readonly trees: readonly TimelineTree[];
  /** As this process sees them, one character a byte: upper directories, which are trees of their own here. */
  readonly elsewhere: readonly string[];
}

/** What cannot be resolved is left to the walk, which declares it. */
export async function timelineTrees({ host, containers }: NodeContext): Promise<Trees> {
  const trees: TimelineTree[] = [{ prefix: '', path: '/', label: '/' }];
  const elsewhere: string[] = [];
  const uppers = new Set<string>();
  const taken = new Set<string>();
  const resolve = resolver(host.root);
  for (const container of (await containers()).containers) {
    const { id, layer } = container;
    if (layer === undefined) continue;
    const upper = resolved(resolve, layer.upper);
    if (uppers.has(upper)) continue;
    uppers.add(upper);
    const prefix = containerPrefix(container, taken);
    trees.push({ prefix, path: upper, label: `container ${id} upper directory`, container: id });
    elsewhere.push(Buffer.from(host.root === '/' ? upper : `${host.root}${upper}`).toString('latin1'));
  }
  return { trees, elsewhere: [...elsewhere, ...mergedViews(uppers)] };
}

/**
 * "container:ID", which no path of the host is: those begin with "/". What an id should not have is replaced, since it
 * stands in a field of the bodyfile; one id may stand in two namespaces of containerd.
 */
function containerPrefix({ id }: KnownContainer, taken: Set<string>): string {
  const first = `container:${id.replace(/[^A-Za-z0-9_.-]/g, '_')}`;
  let prefix = first;
  for (let number = 2; taken.has(prefix); number++) prefix = `${first}-${number}`;
  taken.add(prefix);
  return prefix;
}

function resolved(resolve: (path: string) => string, path: string): string {
  try {
    return resolve(path);
  } catch {
    return path;
  }
}

/** Where the containers' overlays are mounted: they show the image's files again, once a container. */
function mergedViews(uppers: ReadonlySet<string>): readonly string[] {
  const points: string[] = [];
  const table = kernelReader().read('/proc/self/mountinfo', MAX_MOUNTINFO).bytes.toString('latin1');
  for (const mount of mountLines(table)) {
    const upper = mount.type === 'overlay' ? superOption(mount, 'upperdir') : undefined;
    if (upper === undefined) continue;
    // an engine may have given it relative to its own folder, where the options were too long
    if ([...uppers].some((known) => known === upper || (!upper.startsWith('/') && known.endsWith(`/${upper}`))))
      points.push(mount.point);
  }
  return points;
}
