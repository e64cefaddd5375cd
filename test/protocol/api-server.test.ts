// NodeCapture on a real API server: it takes and refuses what the schema here takes and refuses, and fills in the same.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { crdYaml, structuralSchema } from '../../protocol/crd.ts';
import { parseNodeCaptureSpec, parseNodeCaptureStatus } from '../../protocol/index.ts';
import { fileBed } from '../helpers/file-bed.ts';
import { CLUSTER_COMPONENTS, type Cluster, startCluster } from '../testbed/cluster.ts';
import { type Answer, type Method, openAsk } from './ask.ts';
import { mutations } from './mutations.ts';
import { nearlyValid } from './nearly-valid.ts';
import { FILLERS, INVALID, LEAST, RECIPIENT, USER, VALID, WHOLE_SPEC, WHOLE_STATUS } from './samples.ts';

const PATH = '/apis/impound.dev/v1alpha1/nodecaptures';
const NO_EFFECT = '?dryRun=All&fieldValidation=Strict';
const RANDOM_RUNS = 400;

const scenario = await fileBed(CLUSTER_COMPONENTS, startBed);

interface Bed {
  readonly cluster: Cluster;
  /** As the administrator. */
  ask(method: Method, path: string, body?: object): Promise<Answer>;
}

async function startBed(): Promise<Bed> {
  const cluster = await startCluster({ after }, { nodes: 1 });
  await cluster.apply(crdYaml());
  await cluster.kubectl('wait', '--for=condition=Established', '--timeout=20s', 'crd/nodecaptures.impound.dev');
  const { ask, close } = await openAsk(cluster);
  after(close);
  const asAdministrator: Bed['ask'] = (...words) => ask('administrator', ...words);
  for (let tries = 0; (await asAdministrator('GET', PATH)).status === 404 && tries < 100; tries++) await sleep(50);
  return { cluster, ask: asAdministrator };
}

const capture = (name: string, spec: object): object => ({
  apiVersion: 'impound.dev/v1alpha1',
  kind: 'NodeCapture',
  metadata: { name },
  spec,
});

const read = (parse: (value: unknown) => object, value: unknown): object | undefined => {
  try {
    return parse(value);
  } catch {
    return undefined;
  }
};

/** The same verdict on both sides, and where it is yes the same defaults. */
async function compared({ ask }: Bed, title: string, spec: object): Promise<boolean> {
  const here = read(parseNodeCaptureSpec, spec);
  const { status, body, message } = await ask('POST', `${PATH}${NO_EFFECT}`, capture('sample', spec));
  assert.ok([201, 400, 422].includes(status), `${title}: ${status} ${message}`);
  assert.equal(status === 201, here !== undefined, `${title}: ${message} ${JSON.stringify(spec).slice(0, 500)}`);
  if (here !== undefined) assert.deepEqual(body.spec, JSON.parse(JSON.stringify(here)), title);
  return here !== undefined;
}

scenario('it takes what is valid, with the same defaults, and refuses the rest', async (here) => {
  await Promise.all(VALID.map(async ([title, spec]) => assert.ok(await compared(here, title, spec), title)));
  await Promise.all(INVALID.map(async ([title, spec]) => assert.ok(!(await compared(here, title, spec)), title)));
});

scenario('it knows the same bounds of a spec', async (here) => {
  const made = mutations(structuralSchema().properties?.spec ?? assert.fail(), WHOLE_SPEC, FILLERS);
  await Promise.all(
    made.map(async ({ title, value, accepted }) => assert.equal(await compared(here, title, value), accepted, title)),
  );
  console.log(`${made.length} specs on and past their bounds`);
});

scenario('it knows the same bounds of a status', async ({ ask }) => {
  const { body } = await ask('POST', PATH, capture('status', LEAST));
  const put = (status: object): Promise<Answer> => ask('PUT', `${PATH}/status/status${NO_EFFECT}`, { ...body, status });
  const whole = await put(WHOLE_STATUS);
  assert.deepEqual(whole.body.status, WHOLE_STATUS, whole.message);
  const made = mutations(structuralSchema().properties?.status ?? assert.fail(), WHOLE_STATUS, FILLERS);
  const times = ['2026-02-29T10:00:00Z', '2026-07-01T25:00:00Z', '2026-07-01', 'now', '2026-07-01T10:00:00+02:00'];
  const wrong = times.map((startedAt) => ({ title: startedAt, value: { startedAt }, accepted: false }));
  await Promise.all(
    [...made, ...wrong].map(async ({ title, value, accepted }) => {
      assert.equal(read(parseNodeCaptureStatus, value) !== undefined, accepted, title);
      const { status, message } = await put(value);
      assert.equal(status, accepted ? 200 : 422, `${title}: ${status} ${message}`);
    }),
  );
  console.log(`${made.length} states on and past their bounds`);
});

scenario('specs made at random get the same verdict', async (here) => {
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(nearlyValid, async (spec) => {
      if (await compared(here, 'random', spec)) accepted++;
    }),
    { numRuns: RANDOM_RUNS },
  );
  console.log(`${accepted} of ${RANDOM_RUNS} random specs were accepted`);
  assert.ok(accepted > RANDOM_RUNS / 10 && accepted < (RANDOM_RUNS * 9) / 10);
});

/** Of each field another valid value, or two where it may be missing. */
const OTHERS: Readonly<Record<string, readonly unknown[]>> = {
  node: ['node2'],
  requestedBy: ['mallory'],
  reason: ['another'],
  case: ['IR-8', undefined],
  profile: ['quick'],
  collectors: [{}, undefined],
  suspects: [WHOLE_SPEC.suspects.slice(1), WHOLE_SPEC.suspects.toReversed()],
  watchSeconds: [61],
  freeze: [false],
  encryption: [{ none: true }, { recipients: [RECIPIENT, `age1${'p'.repeat(58)}`] }],
  cordon: [true],
  isolate: [{ when: 'never' }, { when: 'first', scope: 'pods' }],
  removePods: [[], undefined],
  disks: [{ mode: 'image', waitSeconds: 1 }],
  deadlineSeconds: [3601],
  trigger: [{ ...WHOLE_SPEC.trigger, sender: 'another' }, undefined],
};

scenario('nothing of a spec changes once it is there', async ({ ask }) => {
  const { body, status, message } = await ask('POST', PATH, capture('fixed', WHOLE_SPEC));
  assert.equal(status, 201, message);
  const fields = Object.keys(structuralSchema().properties?.spec?.properties ?? {});
  assert.deepEqual([...Object.keys(OTHERS), 'cancel', 'release'].sort(), fields.sort());
  for (const [field, values] of Object.entries(OTHERS)) {
    for (const value of values) {
      const spec = { ...WHOLE_SPEC, [field]: value };
      const changed = await ask('PUT', `${PATH}/fixed${NO_EFFECT}`, { ...body, spec });
      assert.equal(changed.status, 422, `${field} ${JSON.stringify(value)}`);
      assert.match(changed.message, new RegExp(`spec\\.${field} cannot be changed: make another NodeCapture`));
    }
  }
  const { body: least } = await ask('POST', PATH, capture('fixed-least', LEAST));
  for (const field of ['case', 'collectors', 'suspects', 'removePods', 'trigger'] as const) {
    const spec = { ...(least.spec as object), [field]: WHOLE_SPEC[field] };
    const added = await ask('PUT', `${PATH}/fixed-least${NO_EFFECT}`, { ...least, spec });
    assert.match(added.message, new RegExp(`spec\\.${field} cannot be changed`), field);
  }
  const same = await ask('PUT', `${PATH}/fixed${NO_EFFECT}`, {
    ...body,
    metadata: { ...(body.metadata as object), labels: { a: 'b' } },
  });
  assert.equal(same.status, 200, same.message);
});

scenario('cancel and release are set once and not taken back', async ({ ask }) => {
  for (const field of ['cancel', 'release']) {
    await ask('POST', PATH, capture(`switch-${field}`, LEAST));
    const set = (value: unknown): Promise<Answer> =>
      ask('PATCH', `${PATH}/switch-${field}`, { spec: { [field]: value } });
    for (const value of [false, null, true, true]) assert.equal((await set(value)).status, 200, `${field} ${value}`);
    for (const value of [false, null]) {
      const { status, message } = await set(value);
      assert.equal(status, 422, `${field} ${value}`);
      assert.match(message, new RegExp(`spec\\.${field} cannot be taken back`));
    }
  }
});

scenario('a write of the spec leaves the status alone, and the other way round', async ({ ask }) => {
  const made = await ask('POST', PATH, { ...capture('parts', LEAST), status: { phase: 'Sealed' } });
  assert.equal(made.body.status, undefined);
  const spec = { ...LEAST, reason: 'another' };
  const put = await ask('PUT', `${PATH}/parts/status`, { ...made.body, spec, status: { phase: 'Pending' } });
  assert.equal(put.status, 200, put.message);
  assert.equal((put.body.spec as typeof LEAST).reason, LEAST.reason);
  assert.deepEqual(put.body.status, { phase: 'Pending' });
});

scenario('a name is one that a taint can have as its value', async ({ ask }) => {
  const make = (name: string): Promise<Answer> => ask('POST', `${PATH}${NO_EFFECT}`, capture(name, LEAST));
  assert.equal((await make('a'.repeat(63))).status, 201);
  assert.equal((await make('a'.repeat(64))).status, 422);
});

scenario('kubectl shows, explains and finds them', async ({ cluster, ask }) => {
  const { body } = await ask('POST', PATH, capture('shown', { ...LEAST, node: 'node7', case: 'IR-7' }));
  await ask('PUT', `${PATH}/shown/status`, { ...body, status: WHOLE_STATUS });
  const table = async (...words: string[]): Promise<string[][]> =>
    (await cluster.kubectl('get', ...words))
      .trim()
      .split('\n')
      .map((line) => line.split(/\s{2,}/));
  const columns = ['NAME', 'NODE', 'PHASE', 'ARTEFACTS', 'BYTES', 'GAPS', 'AGE'];
  const [head, row] = await table('ncap', 'shown');
  assert.deepEqual(head, columns);
  assert.deepEqual(row?.slice(0, 6), ['shown', 'node7', 'Sealed', '52', '3000000000', '7']);
  const [wide, more] = await table('ncap', 'shown', '-o', 'wide');
  assert.deepEqual(wide, [...columns, 'CASE', 'REQUESTED-BY', 'REASON']);
  assert.deepEqual(more?.slice(7), ['IR-7', USER, LEAST.reason]);
  assert.equal((await table('ncap', '--field-selector', 'spec.node=node7')).length, 2);
  assert.ok((await table('impound')).length > 1);
  // what is explained comes from documents that the server makes anew some time after it knows the resource
  const explain = async (field: string): Promise<string> => {
    for (let tries = 1; ; tries++) {
      try {
        return await cluster.kubectl('explain', field);
      } catch (error) {
        if (tries === 20) throw error;
        await sleep(500);
      }
    }
  };
  const explained = await explain('nodecapture.spec.encryption.recipients');
  assert.match(explained, /age recipients that every artefact is encrypted to/);
  for (const field of ['nodecapture', 'ncap.spec', 'ncap.status.prior']) await cluster.kubectl('explain', field);
});
