// Which file a kubeconfig's user has its token in: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
import { readFile } from 'node:fs/promises';
import { delimiter, dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { errnoOf } from '../evidence/index.ts';

interface Kubeconfig {
  readonly users?: readonly { readonly name?: unknown; readonly user?: { readonly tokenFile?: unknown } | null }[];
}

/** An absolute path; `kubeconfig` is a file, or those of kubectl's rules. Undefined where the user has no such file. */
export async function tokenFileOf(user: string, kubeconfig: string | undefined): Promise<string | undefined> {
  for (const path of kubeconfig === undefined ? defaults() : [kubeconfig]) {
    const { users } = (await read(path)) ?? {};
    const found = Array.isArray(users) ? (users as Kubeconfig['users'])?.find(({ name }) => name === user) : undefined;
    if (found === undefined) continue;
    const file = found.user?.tokenFile;
    return typeof file === 'string' && file !== '' ? resolve(dirname(path), file) : undefined;
  }
  return undefined;
}

function defaults(): readonly string[] {
  const { KUBECONFIG = '', HOME } = process.env;
  if (KUBECONFIG !== '') return KUBECONFIG.split(delimiter).filter((path) => path !== '');
  return HOME === undefined ? [] : [join(HOME, '.kube', 'config')];
}

async function read(path: string): Promise<Kubeconfig | undefined> {
  try {
    return parse(await readFile(path, 'utf8')) as Kubeconfig | undefined;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined; // the pod's own account: there is no kubeconfig
    throw error;
  }
}
