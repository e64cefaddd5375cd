// The manifests of the checkout or the image, as documents that keep their comments, each of which explains a privilege.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Document, isSeq, parseAllDocuments } from 'yaml';
import { describeError, errnoOf, ImpoundError } from '../../evidence/index.ts';
import { usage } from '../usage.ts';
import { mergeStrategically } from './strategic-merge.ts';

/** Sources run as they are; what was built lies one folder deeper, in an image too. */
const MANIFESTS = join(
  import.meta.dirname,
  import.meta.filename.endsWith('.js') ? '../../../manifests' : '../../manifests',
);

/** As kubectl reads it: 0440 is octal, and "yes" is quoted. */
const READ = { version: '1.1' } as const;

/** What a kustomization here may have; for more, see docs/install.md. */
const KNOWN = ['apiVersion', 'kind', 'resources', 'patches'];

/** All of the base, in its order, then what the components add; their patches are applied. Throws `usage` for an unknown one. */
export async function readManifests(components: readonly string[]): Promise<Document[]> {
  const documents = await resources(join(MANIFESTS, 'base'));
  for (const name of new Set(components)) {
    const folder = join(MANIFESTS, 'components', name);
    documents.push(...(await resources(folder, name)));
    for (const patch of await patches(folder)) mergeStrategically(find(documents, kindOf(patch), nameOf(patch)), patch);
  }
  return documents;
}

/** Throws where there is none: the manifests are not those that this program was made for. */
export function find(documents: readonly Document[], kind: string, name: string): Document {
  const found = documents.find((document) => kindOf(document) === kind && nameOf(document) === name);
  if (found === undefined) throw unfit(`there is no ${kind} ${name}`);
  return found;
}

const kindOf = (document: Document): string => String(document.get('kind'));
const nameOf = (document: Document): string => String(document.getIn(['metadata', 'name']));

async function resources(folder: string, component?: string): Promise<Document[]> {
  const documents: Document[] = [];
  for (const file of await listed(folder, 'resources', component))
    documents.push(...(await read(join(folder, String(file)))));
  return documents;
}

async function patches(folder: string): Promise<Document[]> {
  const documents: Document[] = [];
  for (const patch of await listed(folder, 'patches')) {
    const { path, ...rest } = patch as { readonly path?: unknown };
    if (typeof path !== 'string' || Object.keys(rest).length > 0)
      throw unfit(`${folder}: a patch is {path: FILE} here`);
    documents.push(...(await read(join(folder, path))));
  }
  return documents;
}

async function listed(folder: string, field: string, component?: string): Promise<readonly unknown[]> {
  const [kustomization] = await read(join(folder, 'kustomization.yaml'), component);
  if (kustomization === undefined) throw unfit(`${folder}/kustomization.yaml is empty`);
  const unknown = Object.keys(kustomization.toJS() as object).filter((name) => !KNOWN.includes(name));
  if (unknown.length > 0) throw unfit(`${folder}/kustomization.yaml has ${unknown.join(', ')}`);
  const list = kustomization.get(field);
  return isSeq(list) ? (list.toJSON() as unknown[]) : [];
}

async function read(path: string, component?: string): Promise<Document[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (component !== undefined && errnoOf(cause) === 'ENOENT')
      throw usage(`--component ${component}: there is no such folder in manifests/components`, { thing: component });
    throw unfit(`${path} cannot be read: ${describeError(cause)}`, cause);
  }
  const documents = parseAllDocuments(text, READ);
  if (!Array.isArray(documents)) return [];
  const wrong = documents.flatMap(({ errors }) => errors);
  if (wrong.length > 0) throw unfit(`${path}: ${wrong.map(describeError).join('; ')}`);
  return documents;
}

function unfit(message: string, cause?: unknown): ImpoundError {
  const about = { operation: 'read manifests', ...(cause === undefined ? {} : { cause }) };
  return new ImpoundError('internal', `the manifests that belong to this program: ${message}`, about);
}
