// The files below /proc/PID/net that are read, the most volatile first, and those that must not be.

/** Without one of these a kernel shows less than expected: their absence is a gap. */
export const EXPECTED = ['tcp', 'udp', 'unix', 'netlink', 'packet', 'raw', 'dev', 'route', 'arp'] as const;

/** Read where they are there. Order: sockets, then what talks to whom, then how the namespace is set up, counters. */
export const FILES = [
  ...['tcp', 'tcp6', 'udp', 'udp6', 'udplite', 'udplite6', 'raw', 'raw6', 'icmp', 'icmp6'],
  ...['packet', 'unix', 'netlink', 'sctp/eps', 'sctp/assocs', 'sctp/remaddr', 'sctp/snmp', 'vsock', 'can/rcvlist_all'],
  ...['arp', 'nf_conntrack', 'nf_conntrack_expect', 'ip_vs', 'ip_vs_conn', 'ip_vs_stats', 'ip_vs_app'],
  ...['dev', 'if_inet6', 'igmp', 'igmp6', 'mcfilter', 'mcfilter6', 'dev_mcast', 'anycast6'],
  ...['route', 'ipv6_route', 'fib_trie', 'fib_triestat', 'rt6_stats', 'rt_cache', 'ip6_flowlabel'],
  ...['ip_mr_cache', 'ip_mr_vif', 'ip6_mr_cache', 'ip6_mr_vif', 'vlan/config', 'pppoe', 'l2tp', 'pfkey', 'xfrm_stat'],
  ...['ptype', 'protocols', 'sockstat', 'sockstat6', 'snmp', 'snmp6', 'netstat', 'softnet_stat', 'psched', 'connector'],
  ...['ip_tables_names', 'ip_tables_matches', 'ip_tables_targets'],
  ...['ip6_tables_names', 'ip6_tables_matches', 'ip6_tables_targets'],
  ...['arp_tables_names', 'arp_tables_matches', 'arp_tables_targets'],
  ...['netfilter/nf_log', 'netfilter/nfnetlink_log', 'netfilter/nfnetlink_queue', 'tls_stat', 'rt_acct', 'pnp'],
  ...['stat/arp_cache', 'stat/ndisc_cache', 'stat/nf_conntrack', 'stat/rt_cache', 'stat/synproxy', 'mptcp_net'],
] as const;

/**
 * Entries of the directory that are known and left alone: directories whose files are listed above or not needed, and
 * rpc, whose channels wait for their other end.
 */
export const LEFT_ALONE: ReadonlySet<string> = new Set([
  ...['sctp', 'can', 'vlan', 'netfilter', 'stat', 'rpc', 'dev_snmp6', 'ipconfig', 'xt_recent', 'ipt_hashlimit'],
  ...['ip6t_hashlimit', 'bonding', 'nfsfs', 'afs', 'pktgen', 'wireless'],
]);
