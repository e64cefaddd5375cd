// What a capture of a node is asked to be. All of it is fixed once it is there, but for `cancel` and `release`.
import { z } from 'zod';
import {
  containerId,
  flag,
  form,
  integer,
  label,
  mapOf,
  segment,
  setOf,
  subdomain,
  text,
  withRules,
} from './fields.ts';

/** As many as a person points at; more is the whole node. */
const MAX_SUSPECTS = 64;
const MAX_COLLECTORS = 64;
const MAX_REMOVED_PODS = 64;
/** Of evidence's own bound: each is in the header of every artefact. */
const MAX_RECIPIENTS = 32;
const MAX_NAME = 253;
const MAX_REASON = 1024;
/** PID_MAX_LIMIT of 64-bit kernels (proc_sys_kernel(5)). */
const MAX_PID = 4_194_304;
const MAX_WATCH_SECONDS = 3600;
const MIN_DEADLINE_SECONDS = 60;
const DAY = 86_400;

export const DEFAULTS = {
  profile: 'standard',
  watchSeconds: 10,
  freeze: false,
  cordon: true,
  isolate: { when: 'never' },
  disks: { mode: 'none', waitSeconds: 600 },
  /** Long enough for a disk of a TiB, so that nothing is cut that goes on. */
  deadlineSeconds: 14_400,
} as const;

/** bech32 (BIP 173); an X25519 recipient has 62 characters, a post-quantum one 1959. Its checksum is not looked at. */
const RECIPIENT = /^age1(pq1)?[02-9ac-hj-np-z]+$/;
const POST_QUANTUM = 'age1pq1';

const podName = z.strictObject({
  namespace: label("The pod's namespace."),
  name: subdomain("The pod's name."),
});

const suspect = withRules(
  z.strictObject({
    pod: podName.optional().meta({ description: 'A pod, by its name.' }),
    container: z
      .strictObject({ id: containerId('Its id, or the name it has at its engine.') })
      .optional()
      .meta({ description: "A container, whichever engine's." }),
    pid: integer(1, MAX_PID, "A process, by its id in the node's PID namespace.").optional(),
  }),
  {
    cel: '[has(self.pod), has(self.container), has(self.pid)].filter(given, given).size() == 1',
    holds: ({ pod, container, pid }) => [pod, container, pid].filter((given) => given !== undefined).length === 1,
    message: 'a suspect is one of pod, container or pid',
  },
);

const collectorName = label('Name of a collector, as `impound collectors` lists them.');

const collectors = z.strictObject({
  only: setOf(collectorName, MAX_COLLECTORS, 'Only these, whatever the profile has.').optional(),
  skip: setOf(collectorName, MAX_COLLECTORS, 'All but these.').optional(),
});

const encryption = withRules(
  z.strictObject({
    recipients: withRules(
      setOf(
        form(RECIPIENT, 62, 1959, {
          description: 'What "age-keygen -y" prints: age1…, or age1pq1… (post-quantum hybrid).',
          message: 'give age recipients, which begin with age1; "age-keygen -y FILE" prints one',
        }),
        MAX_RECIPIENTS,
        'age recipients that every artefact is encrypted to.',
      ),
      {
        cel: `self.all(one, one.startsWith('${POST_QUANTUM}')) || !self.exists(one, one.startsWith('${POST_QUANTUM}'))`,
        holds: (all) => new Set(all.map((one) => one.startsWith(POST_QUANTUM))).size <= 1,
        message: 'post-quantum recipients (age1pq1…) and others cannot be mixed: the weaker would decide',
      },
    ).optional(),
    none: z
      .literal(true)
      .optional()
      .meta({ description: 'true: evidence is stored as it is, readable to whoever reads the store.' }),
  }),
  {
    cel: 'has(self.recipients) != has(self.none)',
    holds: ({ recipients, none }) => (recipients !== undefined) !== (none !== undefined),
    message: 'give encryption.recipients, or encryption.none: true; memory and environments hold secrets',
  },
);

const isolate = withRules(
  z.strictObject({
    when: z
      .enum(['first', 'afterVolatile', 'afterCollect', 'never'])
      .default(DEFAULTS.isolate.when)
      .meta({
        description:
          'first: before anything is collected. afterVolatile: when the volatile core is stored, or 60 s have passed. ' +
          'afterCollect: when all is collected.',
      }),
    scope: z
      .enum(['pods', 'node'])
      .optional()
      .meta({ description: "What is cut off: the suspects' pods, or the node but for the evidence's own way." }),
  }),
  {
    cel: "has(self.scope) == (self.when != 'never')",
    holds: ({ when, scope }) => (scope !== undefined) === (when !== 'never'),
    message: 'isolate.when says at which step and isolate.scope what is cut off: give both, or neither',
  },
);

const disks = z.strictObject({
  mode: z.enum(['none', 'snapshot', 'image']).default(DEFAULTS.disks.mode).meta({
    description: 'snapshot: of its volumes, started at once. image: raw images into the bundle.',
  }),
  waitSeconds: integer(
    0,
    DAY,
    'For how long snapshots are waited for; those that are not done by then are named.',
  ).default(DEFAULTS.disks.waitSeconds),
});

const trigger = z.strictObject({
  receiver: label('The receiver that took the alert.'),
  sender: text(1, MAX_NAME, 'Who sent it, as the receiver knows them.'),
  alertDigest: form(/^sha256:[0-9a-f]{64}$/, 71, 71, {
    description: 'Digest of the alert as it came in, "sha256:" and 64 hexadecimal digits.',
    message: 'give sha256: and 64 hexadecimal digits',
  }),
});

const fields = z.strictObject({
  node: subdomain('The node that is captured.'),
  requestedBy: text(
    1,
    MAX_NAME,
    'Who asks for it: exactly the user name that the API server knows them by ("kubectl auth whoami").',
  ),
  reason: text(1, MAX_REASON, 'Why; kept in the custody chain.'),
  case: segment('The case that the bundle belongs to: one segment of its path in the store.').optional(),
  profile: z
    .enum(['quick', 'standard', 'full'])
    .default(DEFAULTS.profile)
    .meta({ description: 'How much is collected: quick takes seconds, standard minutes, full also memory and disks.' }),
  collectors: collectors.optional().meta({ description: 'Refines the profile by name.' }),
  suspects: z.array(suspect).max(MAX_SUSPECTS).optional().meta({
    description: 'What the responder points at; taken first, and in more depth.',
    'x-kubernetes-list-type': 'atomic',
  }),
  watchSeconds: integer(0, MAX_WATCH_SECONDS, "For how long flows, and the suspects' packets, are watched.").default(
    DEFAULTS.watchSeconds,
  ),
  freeze: flag(
    'Whether suspect containers are frozen while their memory is read; they are thawed whatever happens.',
  ).default(DEFAULTS.freeze),
  encryption: encryption.meta({
    description: 'Who will be able to read the evidence. To be said, one way or the other.',
  }),
  cordon: flag('Whether the node takes no new pods until it is released.').default(DEFAULTS.cordon),
  isolate: isolate
    .default({ ...DEFAULTS.isolate })
    .meta({ description: 'Cutting the suspect off. Needs the right "contain" on nodecaptures/containment.' }),
  removePods: mapOf(
    podName,
    ['namespace', 'name'],
    MAX_REMOVED_PODS,
    'Pods deleted once the bundle is sealed. Needs the right "contain" on nodecaptures/containment.',
  ).optional(),
  disks: disks
    .default({ ...DEFAULTS.disks })
    .meta({ description: 'What is done with the disks. Needs the right "contain" on nodecaptures/containment.' }),
  deadlineSeconds: integer(
    MIN_DEADLINE_SECONDS,
    DAY,
    'For how long is collected, at most; what is missing by then is declared, and the bundle sealed.',
  ).default(DEFAULTS.deadlineSeconds),
  trigger: trigger.optional().meta({
    description: 'The alert that caused it. Needs the right "create" on nodecaptures/trigger.',
  }),
  cancel: flag('Set to true, once: collecting ends, and what there is is sealed.').optional(),
  release: flag(
    'Set to true, once: what was changed on the node is put back. Needs the right "update" on nodecaptures/release.',
  ).optional(),
});

/** Of these, and of no other field, the value may change: from nothing or false to true. */
const SWITCHES = ['cancel', 'release'];

export const nodeCaptureSpec = withRules(fields, {
  cel: "!has(self.isolate.scope) || self.isolate.scope != 'pods' || (has(self.suspects) && self.suspects.size() > 0)",
  holds: ({ isolate: { scope }, suspects = [] }) => scope !== 'pods' || suspects.length > 0,
  message: 'isolate.scope pods cuts off the suspects: name them in suspects, or give isolate.scope node',
}).meta({ description: 'What is asked for. Fixed once it is there, but for cancel and release.' });

export interface TransitionRule {
  readonly rule: string;
  readonly message: string;
}

/** What may not change, for the API server alone: nothing else sees both sides of a change. */
export function transitionRules(): readonly TransitionRule[] {
  return Object.entries(fields.shape).map(([name, field]) => {
    if (SWITCHES.includes(name)) {
      const rule = `!(has(oldSelf.${name}) && oldSelf.${name}) || (has(self.${name}) && self.${name})`;
      return { rule, message: `spec.${name} cannot be taken back` };
    }
    const message = `spec.${name} cannot be changed: make another NodeCapture`;
    if (!(field instanceof z.ZodOptional)) return { rule: `self.${name} == oldSelf.${name}`, message };
    const same = `!has(self.${name}) || self.${name} == oldSelf.${name}`;
    return { rule: `has(self.${name}) == has(oldSelf.${name}) && (${same})`, message };
  });
}
