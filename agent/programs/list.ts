// The programs that do what Node cannot (setns, netlink, extended attributes), and what is lost without each.

export interface ProgramSpec {
  readonly name: string;
  /** Arguments that make it print its version; none where asking already talks to the kernel. */
  readonly version: readonly string[];
  readonly without: string;
}

export const PROGRAMS = [
  { name: 'nsenter', version: ['--version'], without: 'all of the programs below in network namespaces but our own' },
  {
    name: 'ip',
    version: ['-V'],
    without: 'routing rules, all tables but main, IPv6 neighbours, XDP programs of links',
  },
  { name: 'tc', version: ['-V'], without: 'traffic control: filters and programs attached to links' },
  { name: 'nft', version: ['--version'], without: 'nftables rules, those of iptables-nft included' },
  {
    name: 'iptables-nft-save',
    version: ['--version'],
    without: 'what nft does not tell of the matches and comments of iptables-nft rules',
  },
  {
    name: 'ip6tables-nft-save',
    version: ['--version'],
    without: 'what nft does not tell of the matches and comments of ip6tables-nft rules',
  },
  { name: 'iptables-legacy-save', version: ['--version'], without: 'iptables rules of the legacy kind' },
  { name: 'ip6tables-legacy-save', version: ['--version'], without: 'ip6tables rules of the legacy kind' },
  // its --version asks the kernel for the protocol, which loads ip_set where it is not loaded
  { name: 'ipset', version: [], without: 'the sets that iptables rules refer to' },
  {
    name: 'conntrack',
    version: ['--version'],
    without: 'tracked connections where /proc/net/nf_conntrack is not there',
  },
  { name: 'bpftool', version: ['version'], without: 'eBPF programs, maps and links with names and instructions' },
  {
    name: 'dmesg',
    version: ['--version'],
    without: "the kernel's log where /dev/kmsg may not be opened, or is not its own",
  },
  { name: 'tcpdump', version: ['--version'], without: 'packets' },
  { name: 'getfattr', version: ['--version'], without: 'extended attributes: opaque folders of overlays, labels' },
  { name: 'getcap', version: [], without: 'file capabilities' },
] as const satisfies readonly ProgramSpec[];

export type ProgramName = (typeof PROGRAMS)[number]['name'];
