// What has become of a capture: only the controller writes it. All of it may be missing, since it comes bit by bit.
import { z } from 'zod';
import { flag, form, integer, label, mapOf, subdomain, text, time } from './fields.ts';

const MAX_MESSAGE = 4096;
const MAX_URL = 2048;
const MAX_ANNOTATIONS = 16;
/** As many as a session announces, with room for the controller's own. */
const MAX_COLLECTORS = 64;
/** Of a label's name with its prefix, and of its value (Kubernetes, "Labels and Selectors"). */
const MAX_QUALIFIED = 317;
const MAX_VALUE = 63;
/** An annotation may have more; of those that hold a node, none has. */
const MAX_ANNOTATION = 1024;

const PHASES = ['Pending', 'Protecting', 'Collecting', 'Sealing', 'Sealed', 'Failed', 'Cancelled', 'Released'] as const;

const CONDITIONS = ['Granted', 'Protected', 'Collected', 'DisksCaptured', 'Isolated', 'Sealed', 'Released'] as const;

const count = (description: string) => integer(0, Number.MAX_SAFE_INTEGER, description);

const condition = z.object({
  type: z.enum(CONDITIONS).meta({ description: 'Which step.' }),
  status: z.enum(['True', 'False', 'Unknown']).meta({ description: 'Whether it has been reached.' }),
  reason: form(/^[A-Z][A-Za-z0-9]*$/, 1, 128, {
    description: 'Why, in one word for programs.',
    message: 'give one word that begins with a capital letter',
  }),
  message: text(0, MAX_MESSAGE, 'Why, for people.'),
  lastTransitionTime: time('When its status became what it is.'),
  observedGeneration: count('The generation of the spec that this was said of.').optional(),
});

const bundle = z.object({
  id: form(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 36, 36, {
    description: 'Identifier of the bundle.',
    message: 'give a UUID',
  }),
  url: text(1, MAX_URL, 'Where it is: what `impound verify` and `impound pull` are given.'),
  head: z
    .object({
      sequence: integer(0, 999_999, 'Number of the last entry.'),
      sha256: form(/^[0-9a-f]{64}$/, 64, 64, {
        description: "Digest of the last entry's bytes, in hexadecimal digits.",
        message: 'give 64 hexadecimal digits',
      }),
    })
    .optional()
    .meta({ description: 'The end of the custody chain; a bundle whose chain ends elsewhere was altered.' }),
});

const prior = z.object({
  nodeUid: form(/^[0-9A-Za-z-]+$/, 1, 64, {
    description: "The node object's uid: another node of this name is left alone.",
    message: 'give the uid of an object',
  }),
  recordedAt: time('When this was read.'),
  unschedulable: flag('Whether the node was cordoned already.'),
  taint: z
    .object({
      value: text(0, MAX_VALUE, 'Its value.').optional(),
      effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']).meta({ description: 'Its effect.' }),
    })
    .optional()
    .meta({ description: 'The taint impound.dev/capture that stood there already.' }),
  annotations: mapOf(
    z.object({
      name: text(1, MAX_QUALIFIED, "The annotation's name."),
      value: text(0, MAX_ANNOTATION, 'What it was; absent where there was none.').optional(),
    }),
    ['name'],
    MAX_ANNOTATIONS,
    'Annotations that hold the node, as they were.',
  ).optional(),
});

const collector = z.object({
  name: form(/^[a-z][a-z0-9-]*$/, 1, 63, {
    description: 'As `impound collectors` lists them; kubernetes and controller are what the cluster itself says.',
    message: 'give the name of a collector',
  }),
  session: integer(0, 1_000_000, "The agent's try that these figures are of, the last one of several."),
  outcome: z
    .enum(['complete', 'partial', 'absent', 'failed', 'timeout', 'aborted', 'skipped'])
    .optional()
    .meta({ description: 'How it ended; absent as long as it has not.' }),
  artefacts: count('Artefacts stored by it.'),
  bytes: count('Their bytes, as they are stored.'),
  gaps: count('What it could not have; declared when it ends.'),
});

export const nodeCaptureStatus = z
  .object({
    phase: z.enum(PHASES).optional().meta({ description: 'How far it is.' }),
    conditions: mapOf(condition, ['type'], CONDITIONS.length, 'Each step, with its reason.').optional(),
    bundle: bundle.optional().meta({ description: 'The evidence.' }),
    artefacts: count('Artefacts stored.').optional(),
    bytes: count('Their bytes, as they are stored.').optional(),
    gaps: count('What could not be had, as far as it is declared.').optional(),
    collectors: mapOf(
      collector,
      ['name'],
      MAX_COLLECTORS,
      'How far each collector is, in the order of the plan.',
    ).optional(),
    session: integer(0, 1_000_000, "The agent's try: 2 and more where it came again.").optional(),
    agent: z
      .object({
        pod: subdomain("The agent's pod, in the controller's namespace."),
        version: label('Version of the agent protocol that both speak.'),
        seenAt: time('When it was last heard of.').optional(),
      })
      .optional()
      .meta({ description: 'The agent that collects.' }),
    startedAt: time('When it was granted.').optional(),
    sealedAt: time('When the bundle was sealed.').optional(),
    prior: prior.optional().meta({ description: 'How the node was before it was held; put back when it is released.' }),
    message: text(0, MAX_MESSAGE, 'What goes on, or went wrong, for people.').optional(),
    observedGeneration: count('The generation of the spec that this was said of.').optional(),
  })
  .meta({ description: 'What has become of it. Only the controller writes here.' });
