// NodeCaptures that are accepted and that are refused, as a person may write them.
import type { Fillers } from './mutations.ts';

export const USER = 'admin';

/** The least that can be asked for. */
export const LEAST = { node: 'node1', requestedBy: USER, reason: 'miner on web-3', encryption: { none: true } };

export const RECIPIENT = `age1${'q'.repeat(58)}`;
export const POST_QUANTUM = `age1pq1${'q'.repeat(1952)}`;

/** Every field that there is. */
export const WHOLE_SPEC = {
  ...LEAST,
  case: 'IR-7',
  profile: 'full',
  collectors: { only: ['processes', 'sockets'], skip: ['sockets'] },
  suspects: [{ pod: { namespace: 'web', name: 'web-3' } }, { container: { id: 'a'.repeat(64) } }, { pid: 4711 }],
  watchSeconds: 60,
  freeze: true,
  encryption: { recipients: [RECIPIENT] },
  cordon: false,
  isolate: { when: 'first', scope: 'node' },
  removePods: [{ namespace: 'web', name: 'web-3' }],
  disks: { mode: 'snapshot', waitSeconds: 1 },
  deadlineSeconds: 3600,
  trigger: { receiver: 'falco', sender: 'falco on node1', alertDigest: `sha256:${'a'.repeat(64)}` },
  cancel: false,
  release: false,
};

const DIGEST = '0123456789abcdef'.repeat(4);
const TIME = '2026-07-01T10:00:00Z';

export const WHOLE_STATUS = {
  phase: 'Sealed',
  conditions: [
    {
      type: 'Granted',
      status: 'True',
      reason: 'Granted',
      message: 'entry 0 is there',
      lastTransitionTime: TIME,
      observedGeneration: 1,
    },
  ],
  bundle: {
    id: '01997a3e-1c00-7000-8000-000000000000',
    url: 's3://evidence/ir/local/IR-7/01997a3e-1c00-7000-8000-000000000000',
    head: { sequence: 41, sha256: DIGEST },
  },
  artefacts: 52,
  bytes: 3_000_000_000,
  gaps: 7,
  collectors: [{ name: 'processes', session: 1, outcome: 'partial', artefacts: 4, bytes: 1_900_000, gaps: 2 }],
  session: 1,
  agent: { pod: 'impound-agent-x7k2p', version: 'v1', seenAt: TIME },
  startedAt: TIME,
  sealedAt: '2026-07-01T10:05:00.123Z',
  prior: {
    nodeUid: '7a1c2d3e-0000-4000-8000-000000000000',
    recordedAt: TIME,
    unschedulable: true,
    taint: { value: 'earlier', effect: 'NoSchedule' },
    annotations: [{ name: 'karpenter.sh/do-not-disrupt', value: 'true' }],
  },
  message: 'sealed',
  observedGeneration: 1,
};

export const FILLERS: Fillers = {
  elsewhere: ['encryption.none'],
  needed: [
    'encryption.recipients',
    'isolate.when',
    'isolate.scope',
    'suspects.pod',
    'suspects.container',
    'suspects.pid',
  ],
  text(path, length) {
    if (path.endsWith('recipients')) return `age1${'q'.repeat(length - 4)}`;
    if (path.endsWith('alertDigest')) return `sha256:${'a'.repeat(length - 7)}`;
    if (path === 'bundle.id') return WHOLE_STATUS.bundle.id.padEnd(length, '0').slice(0, length);
    if (path === 'conditions.reason') return 'A'.repeat(length);
    return 'a'.repeat(length);
  },
  item(path, index) {
    if (path.endsWith('recipients')) return `age1${'qpzry9x8'.charAt(index % 8).repeat(58 + Math.floor(index / 8))}`;
    if (path === 'suspects') return { pid: index + 1 };
    if (path === 'removePods') return { namespace: 'web', name: `web-${index}` };
    if (path === 'prior.annotations') return { name: `example.com/a${index}` };
    if (path === 'collectors') return { ...WHOLE_STATUS.collectors[0], name: `name-${index}` };
    if (path !== 'conditions') return `name-${index}`;
    const types = ['Granted', 'Protected', 'Collected', 'DisksCaptured', 'Isolated', 'Sealed', 'Released'];
    return { ...WHOLE_STATUS.conditions[0], type: types[index % types.length] };
  },
};

type Sample = readonly [title: string, spec: object];

const suspects = [{ pid: 1 }];

/** Beside the bounds, which are made of the schema: what rules and patterns let through. */
export const VALID: readonly Sample[] = [
  ['the least', LEAST],
  ['every field', WHOLE_SPEC],
  ['switched on from the beginning', { ...LEAST, cancel: true, release: true }],
  ['a node with dots', { ...LEAST, node: 'ip-10-0-0-1.eu-central-1.compute.internal' }],
  ['a reason in another script', { ...LEAST, reason: 'Подозрительный процесс 🕵️' }],
  ['a reason of 1024 characters of two units each', { ...LEAST, reason: '🦊'.repeat(1024) }],
  ['a case of three dots', { ...LEAST, case: '...' }],
  ['a case that begins with dots', { ...LEAST, case: '..a' }],
  ['no collector named', { ...LEAST, collectors: {} }],
  ['no suspect', { ...LEAST, suspects: [] }],
  ['the same suspect twice', { ...LEAST, suspects: [...suspects, ...suspects] }],
  ['a container by its name', { ...LEAST, suspects: [{ container: { id: 'my_container.1' } }] }],
  ['two recipients', { ...LEAST, encryption: { recipients: [RECIPIENT, `age1${'p'.repeat(58)}`] } }],
  ['a post-quantum recipient', { ...LEAST, encryption: { recipients: [POST_QUANTUM] } }],
  ['isolation of the node', { ...LEAST, isolate: { when: 'afterVolatile', scope: 'node' } }],
  ["isolation of a suspect's pod", { ...LEAST, isolate: { when: 'afterCollect', scope: 'pods' }, suspects }],
  ['isolation, never', { ...LEAST, isolate: { when: 'never' } }],
  ['isolation, empty', { ...LEAST, isolate: {} }],
  ['disks, empty', { ...LEAST, disks: {} }],
  ['disks, only the time', { ...LEAST, disks: { waitSeconds: 5 } }],
  [
    'nothing after the colon',
    { ...LEAST, case: null, profile: null, isolate: { when: null }, suspects: [{ pid: 1, pod: null }] },
  ],
  ['no pod to remove', { ...LEAST, removePods: [] }],
  ['two pods of one name', { ...LEAST, removePods: ['a', 'b'].map((namespace) => ({ namespace, name: 'web' })) }],
];

export const INVALID: readonly Sample[] = [
  ['nothing', {}],
  ['neither recipients nor none', { ...LEAST, encryption: {} }],
  ['recipients and none', { ...LEAST, encryption: { recipients: [RECIPIENT], none: true } }],
  ['none: a text', { ...LEAST, encryption: { none: 'true' } }],
  ['none: null', { ...LEAST, encryption: { none: null } }],
  ['null in a list', { ...LEAST, suspects: [null] }],
  ['none: false', { ...LEAST, encryption: { none: false } }],
  ['the same recipient twice', { ...LEAST, encryption: { recipients: [RECIPIENT, RECIPIENT] } }],
  ['recipients of two kinds', { ...LEAST, encryption: { recipients: [RECIPIENT, POST_QUANTUM] } }],
  ['a secret key', { ...LEAST, encryption: { recipients: [`AGE-SECRET-KEY-1${'Q'.repeat(58)}`] } }],
  ['a recipient of a plugin', { ...LEAST, encryption: { recipients: [`age1yubikey1${'q'.repeat(58)}`] } }],
  ['a recipient with a letter that bech32 lacks', { ...LEAST, encryption: { recipients: [`age1b${'q'.repeat(57)}`] } }],
  ['isolation of nothing', { ...LEAST, isolate: { when: 'first' } }],
  ['isolation at no time', { ...LEAST, isolate: { scope: 'node' } }],
  ['isolation of pods without a suspect', { ...LEAST, isolate: { when: 'first', scope: 'pods' } }],
  ['isolation of pods of no suspect', { ...LEAST, isolate: { when: 'first', scope: 'pods' }, suspects: [] }],
  ['a suspect that is nothing', { ...LEAST, suspects: [{}] }],
  ['a suspect that is two things', { ...LEAST, suspects: [{ pid: 1, container: { id: 'a' } }] }],
  [
    'a suspect that is three things',
    { ...LEAST, suspects: [{ ...WHOLE_SPEC.suspects[0], ...suspects[0], container: { id: 'a' } }] },
  ],
  ['a pod to remove, twice', { ...LEAST, removePods: [...WHOLE_SPEC.removePods, ...WHOLE_SPEC.removePods] }],
  ['the same collector twice', { ...LEAST, collectors: { only: ['disk', 'disk'] } }],
  ['a collector in capitals', { ...LEAST, collectors: { skip: ['Disk'] } }],
  ['a node in capitals', { ...LEAST, node: 'Node1' }],
  ['a node that is a path', { ...LEAST, node: '../node1' }],
  ['a node that ends with a line', { ...LEAST, node: 'node1\n' }],
  ['a node that ends with a dot', { ...LEAST, node: 'node1.' }],
  ['a case that is "."', { ...LEAST, case: '.' }],
  ['a case that is ".."', { ...LEAST, case: '..' }],
  ['a case of two segments', { ...LEAST, case: 'a/b' }],
  ['a case with a space', { ...LEAST, case: 'IR 7' }],
  ['a reason of 1025 characters of two units each', { ...LEAST, reason: '🦊'.repeat(1025) }],
  ...['\n', '\r', '\t', '\0', '\x1b[2J', '\x7f', '\x85', '\x9b'].flatMap((control): Sample[] => [
    [`a reason with ${JSON.stringify(control)}`, { ...LEAST, reason: `a${control}b` }],
    [`a requester with ${JSON.stringify(control)}`, { ...LEAST, requestedBy: `a${control}b` }],
  ]),
  ['a digest in capitals', { ...LEAST, trigger: { ...WHOLE_SPEC.trigger, alertDigest: `sha256:${'A'.repeat(64)}` } }],
  ['a field that there is not', { ...LEAST, nodes: ['node1'] }],
  ['a field that there is not, further down', { ...LEAST, encryption: { none: true, recipient: RECIPIENT } }],
  ['a field that there is not, in a list', { ...LEAST, suspects: [{ pid: 1, name: 'sh' }] }],
];
