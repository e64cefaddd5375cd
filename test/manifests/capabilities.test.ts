// Each privilege of the agent's manifest is needed: without it a named thing is lost, which is there with it.
import assert from 'node:assert/strict';
import { capabilityNames } from '../../agent/collectors/processes/capabilities.ts';
import { fileBed } from '../helpers/file-bed.ts';
import {
  AGENT_COMPONENTS,
  type AgentBed,
  type Captured,
  type Less,
  NEW_FOLDER,
  OWN_FILE,
  SHARED_FILE,
  startAgentBed,
} from './capabilities-bed.ts';

const scenario = await fileBed(AGENT_COMPONENTS, startAgentBed);
const WHOLE = {};

/** Collector, what is had with it, what says that it was not had. */
interface Need {
  readonly collector: string;
  readonly there: (captured: Captured) => Promise<boolean>;
  /** Reason and name of the gap; undefined where the loss itself is what is seen. */
  readonly gap?: readonly [reason: string, name: RegExp];
}

const has =
  (path: string, ...words: readonly string[]): Need['there'] =>
  async ({ rows }) =>
    (await rows(path)).some((row) => words.every((word) => JSON.stringify(row).includes(word)));

/** More than a pcap file's header. */
const hasPackets: Need['there'] = async ({ artefacts, size }) => {
  const sizes = artefacts.filter((path) => /^20-network\/\d+\.pcap$/.test(path)).map(size);
  return sizes.some((bytes) => bytes > 24);
};

const NEEDS: Readonly<Record<string, readonly Need[]>> = {
  SYS_PTRACE: [
    {
      collector: 'processes',
      there: has('10-process/processes.jsonl', OWN_FILE, '"executable":"/bin/busybox"'),
      // the first process of a machine may be closed to everybody
      gap: ['denied', /^pid (?!1 )\d+ exe$/],
    },
  ],
  DAC_READ_SEARCH: [
    {
      collector: 'layers',
      there: has('30-container/layers/drift.jsonl', OWN_FILE, '"sha256"'),
      gap: ['denied', new RegExp(`${OWN_FILE}$`)],
    },
  ],
  SYS_ADMIN: [
    {
      collector: 'firewall',
      there: async ({ rows }) => (await namespacesAsked(rows)).size > 1,
      gap: ['failed', /^netns \d+: nft.json$/],
    },
    {
      collector: 'layers',
      there: has('30-container/layers/drift.jsonl', `"path":"${NEW_FOLDER}"`, '"change":"opaque"'),
      gap: ['denied', /^trusted attributes of overlays$/],
    },
  ],
  NET_ADMIN: [
    {
      collector: 'firewall',
      there: has('20-network/firewall.jsonl', '"nftables-rule"'),
      gap: ['failed', /^netns \d+: nft.json$/],
    },
  ],
  NET_RAW: [{ collector: 'packets', there: hasPackets, gap: ['failed', /^20-network\/\d+\.pcap$/] }],
  SETGID: [{ collector: 'packets', there: hasPackets, gap: ['truncated', /^20-network\/\d+\.pcap$/] }],
  SYSLOG: [
    {
      collector: 'kernel',
      there: has('50-kernel/dmesg.jsonl', '"monotonicMicroseconds"', '"original":"<'),
      gap: ['denied', /^\/dev\/kmsg$/],
    },
    {
      collector: 'kernel',
      there: async ({ gaps }) => !gaps.some(({ names }) => names.includes('addresses in /proc/kallsyms')),
      gap: ['denied', /^addresses in \/proc\/kallsyms$/],
    },
  ],
};

/** Those in which a program was run, not what /proc has of all. */
async function namespacesAsked(rows: Captured['rows']): Promise<ReadonlySet<unknown>> {
  const found = (await rows('20-network/firewall.jsonl')).map(({ impound }) => impound as Record<string, unknown>);
  return new Set(found.filter(({ kind }) => kind === 'link').map(({ netns }) => netns));
}

const isGap = ({ gaps }: Captured, [reason, name]: NonNullable<Need['gap']>): boolean =>
  gaps.some((gap) => gap.reason === reason && gap.names.some((one) => name.test(one)));

scenario('every capability of the manifest is tried here', async ({ capabilities }) => {
  assert.deepEqual([...capabilities].sort(), [...Object.keys(NEEDS), 'FOWNER'].sort());
});

const collectorsOf = (needs: readonly Need[]): ReadonlySet<string> => new Set(needs.map(({ collector }) => collector));

let whole: Promise<Captured> | undefined;
const capturedWhole = ({ capture }: AgentBed): Promise<Captured> => {
  whole ??= capture(WHOLE, ...collectorsOf(Object.values(NEEDS).flat()));
  return whole;
};

scenario('with all of them, all is there that one of them is for', async (bed) => {
  const captured = await capturedWhole(bed);
  for (const [capability, needs] of Object.entries(NEEDS)) {
    for (const { there, gap } of needs) {
      assert.ok(await there(captured), capability);
      assert.ok(gap === undefined || !isGap(captured, gap), capability);
    }
  }
});

for (const [capability, needs] of Object.entries(NEEDS)) {
  scenario(`without ${capability} something is lost, and said to be`, async ({ capture }) => {
    const captured = await capture({ capability }, ...collectorsOf(needs));
    for (const { there, gap } of needs) {
      assert.equal(await there(captured), false, String(gap));
      if (gap !== undefined) assert.ok(isGap(captured, gap), String(gap));
    }
  });
}

scenario(
  'the kernel’s log comes without its device, and what only the device has is said to be missing',
  async (bed) => {
    const captured = await capturedWhole(bed);
    assert.ok(isGap(captured, ['denied', /^sequence numbers and dictionaries in the kernel's log$/]));
    const found = captured.footprint.filter(({ name, detail }) => /\/dmesg /.test(`${name} ${detail}`));
    assert.match(found[0]?.detail ?? '', /^dmesg from util-linux .*, sha256:[0-9a-f]{64}$/);
    assert.match(found[1]?.detail ?? '', /^\/usr\/bin\/dmesg --syslog --raw /);
  },
);

scenario('without FOWNER a file of another shows the time at which it was captured', async (bed) => {
  const { cluster, suspect } = bed;
  const inSuspect = (command: string): Promise<string> => cluster.exec(suspect, 'sh', '-c', command);
  const marks = async (read: () => Promise<unknown>): Promise<boolean> => {
    const before = await inSuspect(`touch -a -d '2026-01-02 03:04:05' ${SHARED_FILE} && stat -c %X ${SHARED_FILE}`);
    await read();
    return (await inSuspect(`stat -c %X ${SHARED_FILE}`)) !== before;
  };
  assert.equal(await marks(() => inSuspect(`cat ${SHARED_FILE}`)), true);
  const captured: Captured[] = [];
  const capture = async (less: Less): Promise<unknown> => captured.push(await bed.capture(less, 'tmpfs'));
  assert.equal(await marks(() => capture(WHOLE)), false);
  assert.equal(await marks(() => capture({ capability: 'FOWNER' })), true);
  for (const one of captured) {
    assert.ok(await has('60-file/tmpfs.jsonl', '/shm/own"', '"sha256"')(one));
  }
});

const STATUS = "process.stdout.write(require('node:fs').readFileSync('/proc/self/status'))";
const fieldOf = (status: string, name: string): string =>
  new RegExp(`^${name}:\\s+(\\S+)$`, 'm').exec(status)?.[1] ?? assert.fail(name);

scenario('as another user than root it would have none of them', async ({ node, capabilities }) => {
  assert.equal(capabilityNames(fieldOf(await node(WHOLE, STATUS), 'CapEff'))?.length, capabilities.length);
  assert.deepEqual(capabilityNames(fieldOf(await node({ user: 65532 }, STATUS), 'CapEff')), []);
});

scenario('neither its own root nor the node’s can be written to', async ({ node }) => {
  const script = `for (const path of ['/tried', '/host/tried', '/host/etc/tried', '/var/run/impound/tried'])
    try { require('node:fs').writeFileSync(path, ''); console.log('written', path) } catch ({ code }) { console.log(code) }`;
  assert.deepEqual((await node(WHOLE, script)).trim().split('\n'), ['EROFS', 'EROFS', 'EROFS', 'EROFS']);
});

scenario('without hostPID no cgroup tells what is in it, and another process is taken for its own', async (bed) => {
  const found = async ({ rows }: Captured): Promise<readonly [own: boolean, inCgroups: boolean]> => {
    const all = (await rows('10-process/processes.jsonl')).map((row) => JSON.stringify(row));
    const own = all.filter((row) => row.includes('"footprint":true'));
    const [first] = (await rows('10-process/hidden.jsonl')) as readonly {
      readonly impound?: { readonly compared: { readonly listed: number; readonly inCgroups: number } };
    }[];
    const { listed, inCgroups } = first?.impound?.compared ?? assert.fail('nothing was compared');
    return [own.length === 1 && own.every((row) => row.includes('"capture","--local"')), inCgroups > listed / 2];
  };
  assert.deepEqual(await found(await capturedWhole(bed)), [true, true]);
  const less = await bed.capture({ spec: { hostPID: false } }, 'processes');
  assert.deepEqual(await found(less), [false, false]);
});

scenario('without hostNetwork it reaches nobody once the network of pods is down', async ({ cluster, node }) => {
  // where the API server listens, beside all nodes
  const script = `require('node:net').connect(16443, '10.99.0.1').setTimeout(2000)
    .on('connect', () => end('reached')).on('timeout', () => end('silence')).on('error', ({ code }) => end(code));
    const end = (said) => { console.log(said); process.exit() };`;
  const pod = { spec: { hostNetwork: false } } as const;
  const both = async (): Promise<readonly string[]> =>
    (await Promise.all([node(WHOLE, script), node(pod, script)])).map((said) => said.trim());
  assert.deepEqual(await both(), ['reached', 'reached']);
  await cluster.run(cluster.node, ['ip', 'link', 'set', 'cni0', 'down']);
  try {
    assert.deepEqual(await both(), ['reached', 'silence']);
  } finally {
    await cluster.run(cluster.node, ['ip', 'link', 'set', 'cni0', 'up']);
  }
});
