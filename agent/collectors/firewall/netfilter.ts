// What filters and translates packets in one namespace: nftables, iptables, ipset, tracked connections.
import { closeSync } from 'node:fs';
import { gap } from '../../../capture/index.ts';
import { chunksOf, unreadable } from '../../host/kernel-file.ts';
import { type Door, isUnreadable } from '../sockets/door.ts';
import { allowed } from './allowed.ts';
import { ipsetTable, iptablesTable } from './iptables.ts';
import type { ModuleState } from './modules.ts';
import { MAX_ELEMENTS, type NftSeen, nftRows } from './nft.ts';
import { type Asking, ask, itemParser, lineParser } from './query.ts';
import { askConntrack } from './tracked.ts';

/** `door` is undefined where no process is in the namespace, so that /proc does not show it. */
export async function askNetfilter(
  asking: Asking,
  door: Door | undefined,
  module: (name: string) => ModuleState,
): Promise<void> {
  if (allowed(asking, module, 'nf_tables', 'nft', 'nftables rules')) await askNftables(asking);
  await askLegacy(asking, door, 'ipv4');
  await askLegacy(asking, door, 'ipv6');
  if (allowed(asking, module, 'ip_set', 'ipset', 'sets of ipset')) await askIpset(asking);
  await askConntrack(asking, door, module);
}

async function askNftables(asking: Asking): Promise<void> {
  const { rows } = asking;
  const seen: NftSeen = { iptables: false, elementsLeft: 0 };
  const parser = itemParser((item) => nftRows(item, rows.emit, seen));
  const ending = await ask(asking, { file: 'nft.json', program: 'nft', args: ['-j', 'list', 'ruleset'], parser });
  if (ending.kind === 'missing') return;
  // as a person reads it; also shows what this version of nft has no JSON for
  await ask(asking, { file: 'nft.txt', program: 'nft', args: ['-a', 'list', 'ruleset'] });
  if (seen.elementsLeft > 0) elementsLeft(asking, 'nft.json', seen.elementsLeft);
  if (!seen.iptables) return;
  for (const [family, program] of [
    ['ipv4', 'iptables-nft-save'],
    ['ipv6', 'ip6tables-nft-save'],
  ] as const) {
    const table = lineParser((bad) => iptablesTable(family, 'nft', rows.emit, bad));
    await ask(asking, { file: `${program}.txt`, program, args: ['-c'], parser: table });
  }
}

/** Tables that nobody has used are not made by asking: only those are asked for that the kernel names. */
async function askLegacy(asking: Asking, door: Door | undefined, family: 'ipv4' | 'ipv6'): Promise<void> {
  const program = family === 'ipv4' ? 'iptables-legacy-save' : 'ip6tables-legacy-save';
  const names = family === 'ipv4' ? 'ip_tables_names' : 'ip6_tables_names';
  if (door === undefined) {
    const detail = `no process is in it to show ${names}, and without that ${program} could load modules`;
    asking.output.gap(gap('skipped', `netns ${asking.inode}: ${program}`, detail));
    return;
  }
  const used = readNames(asking, door, names);
  if (used === undefined || used.trim() === '') return;
  const parser = lineParser((bad) => iptablesTable(family, 'legacy', asking.rows.emit, bad));
  await ask(asking, { file: `${program}.txt`, program, args: ['-c'], parser });
}

function readNames({ output, inode }: Asking, door: Door, file: string): string | undefined {
  const opened = door.open(file);
  if (isUnreadable(opened)) {
    // without the file this kernel has no tables of the legacy kind
    if (opened.reason !== 'absent') output.gap(gap(opened.reason, `netns ${inode}: ${file}`, opened.detail));
    return undefined;
  }
  try {
    return [...chunksOf(opened.fd, 65_536)].join('');
  } catch (error) {
    const { reason, detail } = unreadable(error);
    output.gap(gap(reason, `netns ${inode}: ${file}`, detail));
    return undefined;
  } finally {
    closeSync(opened.fd);
  }
}

async function askIpset(asking: Asking): Promise<void> {
  let left = 0;
  const parser = lineParser((bad) =>
    ipsetTable(MAX_ELEMENTS, asking.rows.emit, bad, () => {
      left++;
    }),
  );
  await ask(asking, { file: 'ipset.txt', program: 'ipset', args: ['save'], parser });
  if (left > 0) elementsLeft(asking, 'ipset.txt', left);
}

function elementsLeft({ output, inode }: Asking, file: string, left: number): void {
  const detail = `more than ${MAX_ELEMENTS} elements in a set: the raw answer has all`;
  output.gap(gap('truncated', `netns ${inode}: ${file}, ${left} elements left`, detail));
}
