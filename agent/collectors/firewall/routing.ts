// Where packets go and what is attached to links in one namespace: rules, tables, neighbours, links, tc, XDP.
import { closeSync } from 'node:fs';
import { gap } from '../../../capture/index.ts';
import { type Door, isUnreadable } from '../sockets/door.ts';
import { attachmentRows, filterRow, linkRow, neighbourRow, qdiscRow, routeRow, ruleRow } from './iproute.ts';
import { asText } from './json-items.ts';
import { type Asking, ask, itemParser } from './query.ts';

/** Places for filters that are asked for in one namespace: a node has one or two for each pod at most. */
const MAX_FILTER_PLACES = 512;

/** ip(8) and tc(8) speak rtnetlink, which is part of every kernel: asking them loads nothing. */
export async function askRouting(asking: Asking, door: Door | undefined): Promise<void> {
  const { emit } = asking.rows;
  const items = (take: (item: Record<string, unknown>, to: typeof emit) => void) =>
    itemParser((item) => take(item, emit));
  const ip = (file: string, args: readonly string[], parser: ReturnType<typeof items>) =>
    ask(asking, { file, program: 'ip', args: ['-j', '-d', ...args], parser });
  const { kind } = await ip('rule.json', ['-4', 'rule'], items(ruleRow('ipv4')));
  if (kind !== 'missing') {
    if (hasIpv6(door)) await ip('rule6.json', ['-6', 'rule'], items(ruleRow('ipv6')));
    await ip('route.json', ['route', 'show', 'table', 'all'], items(routeRow));
    await ip('neigh.json', ['-s', 'neigh', 'show', 'nud', 'all'], items(neighbourRow));
    await ip('addr.json', ['-s', 'addr'], items(linkRow));
  }
  await askTrafficControl(asking);
  await ask(asking, { file: 'bpf-net.json', program: 'bpftool', args: ['-j', 'net'], parser: items(attachmentRows) });
}

/** Without IPv6 the question for its rules is answered with an error. */
function hasIpv6(door: Door | undefined): boolean {
  const opened = door?.open('if_inet6');
  if (opened === undefined) return true;
  if (isUnreadable(opened)) return opened.reason !== 'absent';
  closeSync(opened.fd);
  return true;
}

/** Where filters can be: [arguments, hook] of each. */
interface FilterPlace {
  readonly link: string;
  readonly args: readonly string[];
  readonly hook: string;
}

async function askTrafficControl(asking: Asking): Promise<void> {
  const places: FilterPlace[] = [];
  let left = 0;
  const parser = itemParser((item) => {
    qdiscRow(item, asking.rows.emit);
    for (const place of filterPlaces(item)) {
      if (places.length < MAX_FILTER_PLACES) places.push(place);
      else left++;
    }
  });
  const { kind } = await ask(asking, { file: 'qdisc.json', program: 'tc', args: ['-j', '-s', '-d', 'qdisc'], parser });
  if (kind === 'missing') return;
  for (const { link, args, hook } of places) {
    const take = filterRow(link, hook);
    await ask(asking, {
      file: `filter-${link}-${hook}.json`,
      program: 'tc',
      args: ['-j', '-s', '-d', 'filter', 'show', 'dev', link, ...args],
      parser: itemParser((item) => take(item, asking.rows.emit)),
    });
  }
  if (left > 0) {
    const detail = `more than ${MAX_FILTER_PLACES} places for filters in a network namespace`;
    asking.output.gap(gap('truncated', `netns ${asking.inode}: filters at ${left} places`, detail));
  }
}

function filterPlaces(item: Readonly<Record<string, unknown>>): readonly FilterPlace[] {
  const link = asText(item.dev);
  const handle = asText(item.handle);
  if (link === undefined || handle === undefined) return [];
  const ingress = { link, args: ['ingress'], hook: 'ingress' };
  if (item.kind === 'ingress') return [ingress];
  if (item.kind === 'clsact') return [ingress, { link, args: ['egress'], hook: 'egress' }];
  // without a handle of its own it was made by the kernel, and nobody can attach a filter to it
  return /^[1-9a-f][0-9a-f]*:$/.test(handle) ? [{ link, args: ['parent', handle], hook: handle }] : [];
}
