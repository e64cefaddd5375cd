// An overlay of the manifests as docs/install.md has a person write it, with images that need not be there.
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { cacheDirectory, kubernetesPrograms } from '../testbed/components.ts';
import { MANIFESTS } from '../testbed/manifests.ts';

export const KUBECTL = join(kubernetesPrograms(cacheDirectory()), 'kubectl');
export const DIGEST = `sha256:${'0'.repeat(64)}`;

/** Names of the folders in manifests/components. */
export const COMPONENTS = ['volume'] as const;

/** Its folder, below `parent`, for `kubectl kustomize`. */
export async function writeOverlay(parent: string, components: readonly string[] = []): Promise<string> {
  const folder = join(parent, ['overlay', ...components].join('-'));
  await mkdir(folder);
  // kustomize reads what is below its own folder only
  await cp(MANIFESTS, join(folder, 'manifests'), { recursive: true });
  const images = ['controller', 'agent'].map((program) => ({
    ...{ name: `impound-${program}`, newName: `registry.example.com/impound-${program}`, digest: DIGEST },
  }));
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: ['manifests/base'],
    components: components.map((name) => `manifests/components/${name}`),
    images,
  };
  await writeFile(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
  return folder;
}

export function documentsOf<T>(yaml: string): readonly T[] {
  return parseAllDocuments(yaml).map((document) => document.toJS() as T);
}
