import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { conntrackEntry, conntrackTable } from '../../../agent/collectors/firewall/conntrack.ts';
import { ipsetTable, iptablesTable } from '../../../agent/collectors/firewall/iptables.ts';
import { jsonItems } from '../../../agent/collectors/firewall/json-items.ts';
import { MAX_ELEMENTS, nftRows } from '../../../agent/collectors/firewall/nft.ts';

type Row = readonly [string, Readonly<Record<string, unknown>>, Readonly<Record<string, unknown>>];

function items(text: string, step: number, bound?: number): { readonly items: unknown[]; readonly bad: number } {
  const found: unknown[] = [];
  const reader = jsonItems((item) => found.push(item), bound);
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += step) reader.push(bytes.subarray(at, at + step));
  return { items: found, bad: reader.end() };
}

test('the objects of an array come out one by one, in whatever pieces and however deep the array is', () => {
  const object = fc.dictionary(fc.string(), fc.jsonValue());
  fc.assert(
    fc.property(fc.array(object), fc.integer({ min: 1, max: 40 }), fc.boolean(), (list, step, wrapped) => {
      const text = JSON.stringify(wrapped ? { nftables: list } : list);
      const expected = JSON.parse(JSON.stringify(list)) as unknown;
      assert.deepEqual(items(text, step), { items: expected, bad: 0 });
    }),
  );
});

test('an array that is torn gives all objects before the tear; one too large loses only itself', () => {
  const text = JSON.stringify([{ a: 1 }, { b: 'x'.repeat(100) }, { c: 3 }]);
  assert.deepEqual(items(text.slice(0, 40), 7), { items: [{ a: 1 }], bad: 1 });
  assert.deepEqual(items(text, 7, 50), { items: [{ a: 1 }, { c: 3 }], bad: 1 });
  assert.deepEqual(items('[{"a":1},{oops},{"b":2}]', 3), { items: [{ a: 1 }, { b: 2 }], bad: 1 });
});

test('no bytes make the reader of arrays fail', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      const reader = jsonItems(() => undefined);
      reader.push(bytes);
      assert.ok(reader.end() >= 0);
    }),
  );
});

test('a tracked connection is read as both ways to it print it', () => {
  const cases = [
    'ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.5 dst=10.96.0.1 sport=50000 dport=443 packets=5 bytes=600 src=192.0.2.1 dst=192.0.2.9 sport=6443 dport=61000 packets=4 bytes=900 [ASSURED] mark=7 zone=0 use=2',
    'ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.5 dst=10.96.0.1 sport=50000 dport=443 packets=5 bytes=600 src=192.0.2.1 dst=192.0.2.9 sport=6443 dport=61000 packets=4 bytes=900 [ASSURED] mark=7 use=1 id=673917315',
  ];
  for (const line of cases) {
    const entry = conntrackEntry(line);
    assert.deepEqual(entry?.ecs.source, {
      ip: '10.0.0.5',
      port: 50000,
      packets: 5,
      bytes: 600,
      nat: { ip: '192.0.2.9', port: 61000 },
    });
    assert.deepEqual(entry?.ecs.destination, {
      ip: '10.96.0.1',
      port: 443,
      packets: 4,
      bytes: 900,
      nat: { ip: '192.0.2.1', port: 6443 },
    });
    assert.deepEqual(
      [entry?.facts.state, entry?.facts.timeoutSeconds, entry?.facts.flags, entry?.facts.mark],
      ['established', 431_999, ['assured'], '7'],
    );
  }
  const ping = conntrackEntry(
    'ipv4     2 icmp     1 29 src=10.0.0.5 dst=10.0.0.6 type=8 code=0 id=77 [UNREPLIED] src=10.0.0.6 dst=10.0.0.5 type=0 code=0 id=77 mark=0 use=1',
  );
  assert.deepEqual([ping?.facts.timeoutSeconds, ping?.facts.flags, ping?.facts.state], [29, ['unreplied'], undefined]);
  assert.equal((ping?.facts.original as { readonly id: string } | undefined)?.id, '77');
  const offloaded = conntrackEntry(
    'ipv6     10 udp      17 src=fd00::5 dst=fd00::6 sport=1 dport=53 src=fd00::6 dst=fd00::5 sport=53 dport=1 [OFFLOAD] mark=0 use=2',
  );
  assert.deepEqual([offloaded?.facts.timeoutSeconds, offloaded?.facts.flags], [undefined, ['offload']]);
  assert.equal(conntrackEntry('conntrack v1.4.7: 3 flow entries have been shown.'), undefined);
});

test('connections, elements of ipset and of nftables beyond a bound are counted', () => {
  const line = 'ipv4 2 udp 17 9 src=1.1.1.1 dst=2.2.2.2 sport=1 dport=2 src=2.2.2.2 dst=1.1.1.1 sport=2 dport=1';
  let [rows, left, bad] = [0, 0, 0];
  const count = () => void rows++;
  const tracked = conntrackTable(
    2,
    count,
    () => bad++,
    () => left++,
  );
  for (const text of [line, '', 'no entry', line, line, line]) tracked.line(text);
  assert.deepEqual([rows, left, bad], [2, 2, 1]);

  const sets: Row[] = [];
  let over = 0;
  const table = ipsetTable(
    1,
    (...row) => sets.push(row),
    () => assert.fail(),
    () => over++,
  );
  for (const text of [
    'create a hash:ip family inet',
    'add a 1.2.3.4 comment "x"',
    'add a 5.6.7.8',
    'create b list:set',
    'add b a',
  ])
    table.line(text);
  assert.deepEqual(
    [sets.map(([, , facts]) => facts.element ?? facts.type), over],
    [['hash:ip', '1.2.3.4', 'list:set', 'a'], 1],
  );

  const seen = { iptables: false, elementsLeft: 0 };
  const elem = Array.from({ length: MAX_ELEMENTS + 3 }, (_, number) => number);
  let given = 0;
  nftRows({ set: { family: 'ip', table: 't', name: 's', elem } }, () => void given++, seen);
  assert.deepEqual([given, seen.elementsLeft], [MAX_ELEMENTS + 1, 3]);
});

test('what an iptables rule says in quotes is no option of it', () => {
  const rows: Row[] = [];
  const table = iptablesTable(
    'ipv6',
    'legacy',
    (...row) => rows.push(row),
    () => assert.fail(),
  );
  for (const text of [
    '# Generated by ip6tables-save',
    '*mangle',
    ':INPUT DROP [1:2]',
    ':own - [0:0]',
    '[3:4] -A INPUT -s fd00::/8 -m comment --comment "-p udp -j ACCEPT" -g own',
    '[5:6] -A own -p icmpv6 -j LOG --log-prefix "-j DROP "',
    'COMMIT',
  ])
    table.line(text);
  assert.deepEqual(
    rows.map(([kind, , facts]) => [kind, facts.chain, facts.policy ?? facts.target, facts.packets]),
    [
      ['iptables-chain', 'INPUT', 'DROP', 1],
      ['iptables-chain', 'own', undefined, 0],
      ['iptables-rule', 'INPUT', 'own', 3],
      ['iptables-rule', 'own', 'LOG', 5],
    ],
  );
  assert.deepEqual(rows[2]?.[1].network, { type: 'ipv6', transport: undefined });
});
