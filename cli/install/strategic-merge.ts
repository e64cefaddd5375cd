// A component's patch laid over a manifest, as kubectl's strategic merge does it; the comments of both stay.
import { type Document, isMap, isSeq, type Node, type Pair, type YAMLMap, type YAMLSeq } from 'yaml';

/** What makes two entries of a list the same one (Kubernetes API, "patchMergeKey"); other lists are replaced. */
const KEYS: Readonly<Record<string, string>> = {
  containers: 'name',
  volumes: 'name',
  env: 'name',
  volumeMounts: 'mountPath',
};

export function mergeStrategically(target: Document, patch: Document): void {
  if (isMap(target.contents) && isMap(patch.contents)) mergeMap(target.contents, patch.contents);
}

function mergeMap(target: YAMLMap, patch: YAMLMap): void {
  for (const pair of patch.items as Pair<Node, Node | null>[]) {
    const name = String(pair.key);
    const there = target.get(name, true);
    if (isMap(there) && isMap(pair.value)) mergeMap(there, pair.value);
    else if (isSeq(there) && isSeq(pair.value) && KEYS[name] !== undefined) mergeSeq(there, pair.value, KEYS[name]);
    else if (there === undefined) target.items.push(pair);
    else target.set(name, pair.value);
  }
}

/** What is new stands first, as kustomize has it. */
function mergeSeq(target: YAMLSeq, patch: YAMLSeq, key: string): void {
  ownComment(target);
  ownComment(patch);
  const added = patch.items.filter((item) => {
    const there = target.items.find((one) => isMap(one) && isMap(item) && one.get(key) === item.get(key));
    if (!isMap(there) || !isMap(item)) return true;
    mergeMap(there, item);
    return false;
  });
  target.items.unshift(...added);
}

/** What stands before the first entry is read as the list's. */
function ownComment(list: YAMLSeq): void {
  const [first] = list.items;
  if (!isMap(first) || !list.commentBefore) return;
  first.commentBefore = list.commentBefore;
  list.commentBefore = null;
}
