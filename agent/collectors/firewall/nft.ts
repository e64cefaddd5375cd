// Rows from `nft -j list ruleset`: tables, chains, rules, sets and their elements. libnftables-json(5).
import { asNumber, asObject, asText } from './json-items.ts';
import type { Emit } from './rows.ts';

/** Elements of one set or map that become rows; the raw output has all. */
export const MAX_ELEMENTS = 10_000;

export interface NftSeen {
  /** A rule has a match or target of iptables, of which nft tells the name only. */
  iptables: boolean;
  /** Elements beyond the bound. */
  elementsLeft: number;
}

/** One object of the array; its only key says what it is. */
export function nftRows(item: Readonly<Record<string, unknown>>, emit: Emit, seen: NftSeen): void {
  for (const [kind, value] of Object.entries(item)) {
    const facts = asObject(value);
    if (facts === undefined || kind === 'metainfo') continue;
    if (kind === 'rule') ruleRow(facts, emit, seen);
    else if (Array.isArray(facts.elem)) setRows(kind, facts, facts.elem, emit, seen);
    else emit(`nftables-${kind}`, { rule: { ruleset: rulesetOf(facts) } }, { ...facts });
  }
}

function ruleRow(facts: Readonly<Record<string, unknown>>, emit: Emit, seen: NftSeen): void {
  const { expr, comment, handle, chain } = facts;
  const list: readonly unknown[] = Array.isArray(expr) ? expr : [];
  const statements = list.map((one) => asObject(one) ?? {});
  if (statements.some((statement) => 'xt' in statement)) seen.iptables = true;
  const counter = statements.map((statement) => asObject(statement.counter)).find((one) => one !== undefined);
  const verdict = statements.map(verdictOf).findLast((one) => one !== undefined);
  emit(
    'nftables-rule',
    {
      rule: {
        id: handle === undefined ? undefined : String(handle),
        ruleset: rulesetOf(facts),
        category: asText(chain),
        description: asText(comment),
      },
      event: verdict === undefined ? undefined : { action: verdict },
    },
    { ...facts, packets: asNumber(counter?.packets), bytes: asNumber(counter?.bytes) },
  );
}

const VERDICTS = ['accept', 'drop', 'reject', 'queue', 'return', 'jump', 'goto', 'snat', 'dnat', 'masquerade'];

function verdictOf(statement: Readonly<Record<string, unknown>>): string | undefined {
  return [...VERDICTS, 'redirect', 'tproxy', 'notrack', 'flow'].find((name) => name in statement);
}

function setRows(
  kind: string,
  { elem: _, ...facts }: Readonly<Record<string, unknown>>,
  elements: readonly unknown[],
  emit: Emit,
  seen: NftSeen,
): void {
  emit(`nftables-${kind}`, { rule: { ruleset: rulesetOf(facts) } }, { ...facts, elements: elements.length });
  for (const element of elements.slice(0, MAX_ELEMENTS)) {
    const { family, table, name } = facts;
    emit('nftables-element', { rule: { ruleset: rulesetOf(facts) } }, { family, table, set: name, element });
  }
  seen.elementsLeft += Math.max(0, elements.length - MAX_ELEMENTS);
}

/** "inet filter"; a table itself has its own name there. */
function rulesetOf({ family, table, name }: Readonly<Record<string, unknown>>): string {
  return `${asText(family) ?? ''} ${asText(table) ?? asText(name) ?? ''}`.trim();
}
