import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { endpoint, networkAddress, wordsAddress } from '../../../agent/collectors/sockets/address.ts';
import { FILES } from '../../../agent/collectors/sockets/files.ts';
import { interfaceTable } from '../../../agent/collectors/sockets/interfaces.ts';
import { lineSplitter } from '../../../agent/collectors/sockets/lines.ts';
import { parserFor } from '../../../agent/collectors/sockets/parsers.ts';
import type { Neighbour, Route } from '../../../agent/collectors/sockets/routes.ts';
import type { Socket } from '../../../agent/collectors/sockets/socket.ts';
import { sctpAssociation, sctpEndpoint } from '../../../agent/collectors/sockets/special.ts';

interface Parsed {
  readonly sockets: Socket[];
  readonly routes: Route[];
  readonly neighbours: Neighbour[];
  readonly bad: string[];
  readonly interfaces: ReturnType<typeof interfaceTable>;
}

function parse(file: string, bytes: Uint8Array, chunk = 7, into?: Parsed): Parsed {
  const parsed = into ?? { sockets: [], routes: [], neighbours: [], bad: [], interfaces: interfaceTable() };
  const parser = parserFor(file, {
    interfaces: parsed.interfaces,
    socket: (socket) => parsed.sockets.push(socket),
    bad: (line) => parsed.bad.push(line),
    route(route) {
      parsed.interfaces.route(route);
      parsed.routes.push(route);
    },
    neighbour: (neighbour) => parsed.neighbours.push(neighbour),
  });
  assert.ok(parser, `no parser for ${file}`);
  const lines = lineSplitter(parser);
  for (let at = 0; at < bytes.length; at += chunk) lines.push(bytes.subarray(at, at + chunk));
  lines.end();
  return parsed;
}

function fixture(file: string): Buffer {
  return readFileSync(new URL(`../../fixtures/proc-net/${file}`, import.meta.url));
}

test('TCP: listening, connected and orphaned sockets of both families are read with both ends', () => {
  const { sockets, bad } = parse('tcp', fixture('tcp'));
  assert.deepEqual(bad, []);
  assert.deepEqual(
    sockets.map(({ state, local, remote, inode }) => ({ state, local, remote, inode })),
    [
      { state: 'listen', local: { ip: '127.0.0.1', port: 8080 }, remote: undefined, inode: 18562 },
      {
        state: 'established',
        local: { ip: '10.9.8.7', port: 35768 },
        remote: { ip: '10.9.8.7', port: 9443 },
        inode: 18566,
      },
      {
        state: 'established',
        local: { ip: '127.0.0.1', port: 8080 },
        remote: { ip: '127.0.0.1', port: 43450 },
        inode: 18564,
      },
      {
        state: 'established',
        local: { ip: '127.0.0.1', port: 43450 },
        remote: { ip: '127.0.0.1', port: 8080 },
        inode: 18563,
      },
      {
        state: 'time-wait',
        local: { ip: '127.0.0.1', port: 43456 },
        remote: { ip: '127.0.0.1', port: 8080 },
        inode: 0,
      },
    ],
  );
  assert.deepEqual(sockets[2]?.queue, { rx: 5, tx: 0 });
  assert.deepEqual(sockets[4]?.details?.timer, { kind: 'time-wait', ticks: 0x1770 });
  const six = parse('tcp6', fixture('tcp6'));
  assert.deepEqual(
    six.sockets.map(({ local }) => local?.ip),
    ['::', '2001:db8::5', '2001:db8::5', '::ffff:10.9.8.7'],
  );
});

test('UDP, raw, packet, netlink: what is bound, the protocol, the interface and the family are read', () => {
  const udp = parse('udp', fixture('udp')).sockets;
  assert.deepEqual(
    udp.map(({ state, local }) => [state, local]),
    [
      ['unconnected', { ip: '0.0.0.0', port: 5353 }],
      ['established', { ip: '127.0.0.1', port: 0xed74 }],
    ],
  );
  const raw = parse('raw', fixture('raw')).sockets[0];
  assert.deepEqual([raw?.transport, raw?.iana, raw?.local], ['raw', 1, { ip: '0.0.0.0' }]);
  assert.equal(parse('raw6', fixture('raw6')).sockets[0]?.iana, 58);
  const packets = parse('packet', fixture('packet')).sockets;
  assert.deepEqual(
    packets.map(({ details }) => [details?.type, details?.protocol, details?.interfaceIndex]),
    [
      ['raw', '0x0003', 0],
      ['dgram', '0x0800', 1],
    ],
  );
  const uevents = parse('netlink', fixture('netlink')).sockets.find(({ state }) => state === 'bound');
  assert.deepEqual(
    [uevents?.details?.family, uevents?.details?.portId, uevents?.details?.groups],
    ['kobject_uevent', 8053, '0x00000001'],
  );
});

test('unix: a name keeps its blanks, newlines and raw bytes', () => {
  const { sockets, bad } = parse('unix', fixture('unix'));
  assert.deepEqual(bad, []);
  assert.deepEqual(
    sockets.map(({ state, details }) => [state, details?.type, details?.path_base64 ?? details?.path]),
    [
      ['listen', 'stream', '/tmp/fix sock'],
      ['listen', 'seqpacket', Buffer.from('@abs\xff@x\ny', 'latin1').toString('base64')],
    ],
  );
  assert.equal(sockets[1]?.details?.abstract, true);
});

test('SCTP: endpoints and associations are read with all their addresses', () => {
  const listening = sctpEndpoint(
    'ffff88017e0a0200 ffff880299f7fa00 2   10  29   11165     0 41439 10.0.0.102 10.0.0.103 ',
  );
  assert.deepEqual(
    [listening?.state, listening?.local, listening?.inode],
    ['listen', { ip: '10.0.0.102', port: 11165 }, 41439],
  );
  const association = sctpAssociation(
    'ffff88045ac7e000 ffff88062077aa00 2   1   3  1205  963        0        0     200 273361167 11567 11166  10.0.0.102 10.0.0.70 <-> *10.0.0.109 10.0.0.77 \t    1000     2     2   10    0    0        0        1        0   212992   212992',
  );
  assert.equal(association?.state, 'established');
  assert.deepEqual(association?.remote, { ip: '10.0.0.109', port: 11166 });
  assert.deepEqual(association?.details?.remoteAddresses, ['10.0.0.109', '10.0.0.77']);
});

test('routes, neighbours and interfaces of a namespace come together', () => {
  const parsed: Parsed = { sockets: [], routes: [], neighbours: [], bad: [], interfaces: interfaceTable() };
  for (const file of ['dev', 'if_inet6', 'igmp', 'dev_mcast', 'route', 'ipv6_route', 'fib_trie', 'arp'])
    parse(file, fixture(file), 11, parsed);
  assert.deepEqual(parsed.bad, []);
  assert.deepEqual(parsed.routes.slice(0, 3), [
    { type: 'ipv4', destination: '10.20.0.0/16', gateway: '10.9.8.1', interface: 'lo', metric: 0, flags: '0x3' },
    { type: 'ipv4', destination: '10.66.0.0/16', interface: '*', metric: 0, flags: '0x201', reject: true },
    { type: 'ipv4', destination: '172.30.0.0/24', interface: 'v0', metric: 0, flags: '0x1' },
  ]);
  assert.equal(parsed.routes[3]?.destination, '2001:db8::/64');
  assert.deepEqual(parsed.neighbours, [
    { ip: '172.30.0.9', mac: '02-00-00-00-00-09', interface: 'v0', flags: '0x6', hardwareType: '0x1', permanent: true },
  ]);
  const { interfaces, unplaced } = parsed.interfaces.finish();
  assert.deepEqual(interfaces.find(({ name }) => name === 'v0')?.addresses, ['172.30.0.1/24']);
  assert.deepEqual(interfaces.find(({ name }) => name === 'lo')?.addresses, ['::1/128', '2001:db8::5/64', '127.0.0.1']);
  assert.deepEqual(unplaced, ['10.9.8.7'], 'no route on a link explains an address of lo');
});

test('property: no parser throws, and none invents a socket without an inode, whatever the bytes', () => {
  const parsed = FILES.filter((file) => file !== 'fib_trie').filter((file) =>
    parserFor(file, { interfaces: interfaceTable(), socket() {}, bad() {}, route() {}, neighbour() {} }),
  );
  const line = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc
      .array(
        fc.oneof(
          fc.string({ unit: fc.constantFrom(...'0123456789abcdefABCDEF:.*- \t'), maxLength: 36 }),
          fc.constant('0100007F:1F90'),
        ),
        { maxLength: 20 },
      )
      .map((words) => words.join(' ')),
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...parsed),
      fc.array(line, { maxLength: 20 }),
      fc.integer({ min: 1, max: 64 }),
      (file, lines, chunk) => {
        const { sockets } = parse(file, Buffer.from(lines.join('\n')), chunk);
        for (const { inode } of sockets) assert.ok(Number.isSafeInteger(inode) && inode >= 0);
      },
    ),
    { numRuns: 500 },
  );
});

test('property: a damaged table gives the rows of its whole lines', () => {
  const whole = fixture('tcp').toString('latin1').split('\n').slice(1, -1);
  fc.assert(
    fc.property(fc.array(fc.option(fc.constantFrom(...whole), { nil: 'noise' })), (lines) => {
      const { sockets, bad } = parse('tcp', Buffer.from(lines.join('\n')), 13);
      assert.equal(sockets.length, lines.filter((line) => line !== 'noise').length);
      assert.equal(bad.length, lines.filter((line) => line === 'noise').length);
    }),
  );
});

test('property: addresses survive the kernel’s way of printing them, in either byte order', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      fc.boolean(),
      fc.integer({ min: 0, max: 65_535 }),
      (bytes, little, port) => {
        let words = '';
        for (let at = 0; at < 16; at += 4) {
          const view = new DataView(bytes.buffer, bytes.byteOffset + at, 4);
          words += view.getUint32(0, little).toString(16).toUpperCase().padStart(8, '0');
        }
        const text = wordsAddress(words, little);
        assert.equal(text, networkAddress(Buffer.from(bytes).toString('hex')));
        assert.deepEqual(bytesOf(text ?? ''), [...bytes]);
        const ending = `${words.slice(24)}:${port.toString(16).toUpperCase().padStart(4, '0')}`;
        assert.deepEqual(endpoint(ending, little), { ip: bytes.subarray(12).join('.'), port });
      },
    ),
  );
});

/** Reads an IPv6 address as the URL parser does, which is not ours. */
function bytesOf(text: string): number[] {
  const canonical = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const [head = '', tail] = canonical.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const middle = tail === undefined ? [] : new Array<string>(8 - front.length - back.length).fill('0');
  return [...front, ...middle, ...back].flatMap((group) => [
    Number.parseInt(group, 16) >> 8,
    Number.parseInt(group, 16) & 0xff,
  ]);
}
