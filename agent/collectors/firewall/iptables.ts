// Rows from iptables-save -c and ipset save: lines that restore what they describe. iptables-save(8), ipset(8).
import type { LineReader } from '../sockets/lines.ts';
import type { Emit } from './rows.ts';

export type Backend = 'legacy' | 'nft';

/** "*filter", ":INPUT ACCEPT [5:300]", "[5:300] -A INPUT -p tcp -j DROP", "COMMIT"; "#" begins a comment. */
export function iptablesTable(family: 'ipv4' | 'ipv6', backend: Backend, emit: Emit, bad: () => void): LineReader {
  let table = '';
  const positions = new Map<string, number>();
  return {
    line(text) {
      if (text === '' || text.startsWith('#') || text === 'COMMIT') return;
      if (text.startsWith('*')) {
        table = text.slice(1);
        positions.clear();
        return;
      }
      const chain = /^:(\S+) (\S+)(?: \[(\d+):(\d+)\])?/.exec(text);
      if (chain !== null) {
        const [, name, policy, packets, bytes] = chain;
        emit(
          'iptables-chain',
          { network: { type: family }, rule: { ruleset: table, category: name } },
          { backend, table, chain: name, policy: policy === '-' ? undefined : policy, ...counts(packets, bytes) },
        );
        return;
      }
      const rule = /^(?:\[(\d+):(\d+)\] )?-A (\S+)(.*)$/.exec(text);
      if (rule === null) return bad();
      const [, packets, bytes, name = '', rest = ''] = rule;
      const position = (positions.get(name) ?? 0) + 1;
      positions.set(name, position);
      const target = option(rest, '-[jg]');
      emit(
        'iptables-rule',
        {
          network: { type: family, transport: option(rest, '-p') },
          rule: { ruleset: table, category: name, id: String(position), description: comment(rest) },
          event: target === undefined ? undefined : { action: target.toLowerCase() },
        },
        { backend, table, chain: name, position, target, ...counts(packets, bytes), raw: text },
      );
    },
    end() {},
  };
}

/** "create NAME TYPE OPTIONS", "add NAME ELEMENT OPTIONS". Elements beyond the bound are counted by `left`. */
export function ipsetTable(bound: number, emit: Emit, bad: () => void, left: () => void): LineReader {
  let elements = 0;
  return {
    line(text) {
      if (text === '') return;
      const [, verb, name, what, rest] = /^(create|add) (\S+) (\S+)(?: (.*))?$/.exec(text) ?? [];
      if (verb === undefined) return bad();
      if (verb === 'create') {
        elements = 0;
        emit('ipset', { rule: { ruleset: name } }, { set: name, type: what, options: rest });
      } else if (elements++ < bound) {
        emit('ipset-element', { rule: { ruleset: name } }, { set: name, element: what, options: rest });
      } else {
        left();
      }
    },
    end() {},
  };
}

function counts(packets: string | undefined, bytes: string | undefined): Record<string, number> | undefined {
  return packets === undefined || bytes === undefined ? undefined : { packets: Number(packets), bytes: Number(bytes) };
}

/** The word after an option; quoted text (a comment) is taken out first, so that it cannot look like one. */
function option(rest: string, name: string): string | undefined {
  return new RegExp(`(?:^|\\s)(?:${name}) (\\S+)`).exec(rest.replace(QUOTED, '""'))?.[1];
}

const QUOTED = /"(?:[^"\\]|\\.)*"/g;

function comment(rest: string): string | undefined {
  const found = /--comment (?:"((?:[^"\\]|\\.)*)"|(\S+))/.exec(rest);
  return (found?.[1] ?? found?.[2])?.replace(/\\(.)/g, '$1');
}
