// Specs at random, about half of which have some mistake: for two judges that must not differ.
import fc from 'fast-check';
import { POST_QUANTUM, RECIPIENT, USER } from './samples.ts';

/** Any text that can stand in JSON and in UTF-8, and such of few characters that patterns care for. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.string({
    unit: fc.constantFrom('a', 'Z', '0', '-', '.', '_', ' ', '\n', '\x85', '\u2028', '\u202e', 'ı', 'K'),
    maxLength: 6,
  }),
);
const number = fc.oneof(
  fc.integer({ min: -2, max: 100 }),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);

/** The good many times as often as any other: there are some thirty fields to go wrong. */
const mostly = (good: fc.Arbitrary<unknown>, ...others: readonly fc.Arbitrary<unknown>[]): fc.Arbitrary<unknown> =>
  fc.oneof({ arbitrary: good, weight: 60 }, ...others.map((arbitrary) => ({ arbitrary, weight: 1 })));

const name = mostly(fc.constantFrom('node1', 'a.b-c.d', 'x'), text);
const flag = mostly(fc.boolean(), fc.constantFrom('true', 1));
const object = (fields: Record<string, fc.Arbitrary<unknown>>, requiredKeys: string[] = []): fc.Arbitrary<unknown> =>
  fc.record(fields, { requiredKeys }).map((made) => ({ ...made }));
const list = (item: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> => fc.array(item, { maxLength: 3 });
/** As the schema wants names and recipients: some, and none twice. */
const set = (item: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  mostly(fc.uniqueArray(item, { minLength: 1, maxLength: 3 }), list(item));

const pod = mostly(object({ namespace: name, name }, ['namespace', 'name']), object({ namespace: name, name }));
const suspect = mostly(
  fc.oneof(
    ...[
      { pod },
      { container: object({ id: name }, ['id']) },
      { pid: mostly(fc.integer({ min: 1, max: 4_194_304 }), number) },
    ].map((one) => object(one, Object.keys(one))),
  ),
  object({ pod, container: object({ id: name }), pid: number }),
);
const recipient = mostly(fc.constantFrom(RECIPIENT, `age1${'p'.repeat(58)}`), fc.constant(POST_QUANTUM), text);
const encryption = mostly(
  fc.oneof(fc.constant({ none: true }), object({ recipients: set(recipient) }, ['recipients'])),
  object({ recipients: set(recipient), none: flag }),
);
const isolate = mostly(
  fc.constantFrom({}, { when: 'never' }, { when: 'first', scope: 'node' }, { when: 'afterVolatile', scope: 'pods' }),
  object({ when: fc.constantFrom('first', 'never', 'x'), scope: fc.constantFrom('node', 'pods', 'x') }),
);
const names = set(mostly(fc.constantFrom('disk', 'ram', 'logs', 'layers'), text));

export const nearlyValid: fc.Arbitrary<object> = fc.record(
  {
    node: name,
    requestedBy: mostly(fc.constant(USER), text),
    reason: mostly(fc.constant('why'), text),
    encryption,
    case: mostly(fc.constantFrom('IR-7', '...', '..a'), text),
    profile: mostly(fc.constantFrom('quick', 'standard', 'full'), text),
    collectors: object({ only: names, skip: names }),
    suspects: list(suspect),
    watchSeconds: mostly(fc.integer({ min: 0, max: 3600 }), number),
    freeze: flag,
    cordon: flag,
    isolate,
    removePods: list(pod),
    disks: object({
      mode: mostly(fc.constantFrom('none', 'snapshot', 'image'), text),
      waitSeconds: mostly(fc.constant(5), number),
    }),
    deadlineSeconds: mostly(fc.integer({ min: 60, max: 86_400 }), number),
    cancel: flag,
    release: flag,
  },
  { requiredKeys: ['node', 'requestedBy', 'reason', 'encryption'] },
);
