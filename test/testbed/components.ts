// The real components that tests need, as data: what shows that one is there, how it is installed, who may use it.
import { join } from 'node:path';

/** A program (a name on the path, or a file) that ends with 0. */
export interface Probe {
  readonly program: string;
  /** Without arguments, that the program is there is enough. */
  readonly args?: readonly string[];
}

/** How a component is installed. Another kind of source is another member here and one more case in install.ts. */
export type Install =
  | { readonly kind: 'debian'; readonly packages: readonly string[] }
  | { readonly kind: 'python'; readonly packages: readonly string[] }
  | { readonly kind: 'go'; readonly packages: readonly string[] };

export interface Component {
  readonly name: string;
  /** What tests do with it. */
  readonly purpose: string;
  readonly probe: Probe;
  readonly install: Install;
  /** Works for root only. */
  readonly root?: true;
  /** Only `make soak` needs it. */
  readonly soak?: true;
}

/** Where what is not a system package is kept between runs. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const home = env.HOME ?? '/root';
  return env.IMPOUND_CACHE || join(env.XDG_CACHE_HOME || join(home, '.cache'), 'impound');
}

export function pythonEnvironment(cache: string): string {
  return join(cache, 'python');
}

/** Programs built from Go modules. */
export function goPrograms(cache: string): string {
  return join(cache, 'go', 'bin');
}

/** All components, those that others need first. */
export function components(cache: string = cacheDirectory()): readonly Component[] {
  const debian = (name: string, purpose: string, packages: readonly string[]): Component => ({
    name,
    purpose,
    probe: { program: name },
    install: { kind: 'debian', packages },
  });
  const python = '/usr/bin/python3';
  return [
    { ...debian('dockerd', 'a real Docker engine', ['docker.io']), root: true },
    debian('docker', "the engine's own client, to make containers", ['docker.io']),
    debian('busybox', "the programs in tests' containers", ['busybox-static']),
    debian('jq', "custody's check in shell", ['jq']),
    debian('openssl', "custody's check in shell, keys", ['openssl']),
    debian('zstd', 'another decoder of our archives', ['zstd']),
    {
      name: 'python3-venv',
      purpose: "a place for the analysts' tools",
      probe: { program: python, args: ['-c', 'import ensurepip, venv'] },
      install: { kind: 'debian', packages: ['python3-venv'] },
    },
    {
      name: 'bagit',
      purpose: 'another verifier of our bags',
      probe: { program: join(pythonEnvironment(cache), 'bin', 'python3'), args: ['-c', 'import bagit'] },
      install: { kind: 'python', packages: ['bagit==1.9.0'] },
    },
    { ...debian('go', 'builds the programs that are Go modules', ['golang-go']), soak: true },
    {
      name: 'cosign',
      purpose: "another verifier of custody's entries",
      probe: { program: join(goPrograms(cache), 'cosign'), args: ['version'] },
      install: { kind: 'go', packages: ['github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3'] },
      soak: true,
    },
  ];
}
