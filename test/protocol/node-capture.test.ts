// NodeCapture's schema by itself: what it accepts, what it says of the rest, and the files that are made of it.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from 'age-encryption';
import fc from 'fast-check';
import { assertName, ImpoundError } from '../../evidence/index.ts';
import { crdYaml, type StructuralSchema, structuralSchema } from '../../protocol/crd.ts';
import { parseNodeCapture, parseNodeCaptureSpec, parseNodeCaptureStatus } from '../../protocol/index.ts';
import { referenceMarkdown } from '../../protocol/reference.ts';
import { mutations } from './mutations.ts';
import { FILLERS, INVALID, LEAST, VALID, WHOLE_SPEC, WHOLE_STATUS } from './samples.ts';

const root = join(import.meta.dirname, '../..');
const { spec, status } = structuralSchema().properties ?? {};
assert.ok(spec !== undefined && status !== undefined);

const accepts = (parse: (value: unknown) => unknown, value: unknown): boolean => {
  try {
    parse(value);
    return true;
  } catch (error) {
    assert.ok(error instanceof ImpoundError && error.code === 'usage', String(error));
    assert.ok(error.message.length < 2500, error.message);
    return false;
  }
};

test('what is valid is accepted, and what is not is refused', () => {
  for (const [title, sample] of VALID) assert.ok(accepts(parseNodeCaptureSpec, sample), title);
  for (const [title, sample] of INVALID) assert.ok(!accepts(parseNodeCaptureSpec, sample), title);
});

test('each bound is accepted, and what is past it by one is refused', () => {
  const cases = [
    [parseNodeCaptureSpec, mutations(spec, WHOLE_SPEC, FILLERS)],
    [parseNodeCaptureStatus, mutations(status, WHOLE_STATUS, FILLERS)],
  ] as const;
  for (const [parse, made] of cases) {
    assert.ok(made.length > 50);
    for (const { title, value, accepted } of made) assert.equal(accepts(parse, value), accepted, title);
  }
});

test('every text, list and number has a bound', () => {
  const unbounded: string[] = [];
  const visit = (node: StructuralSchema, path: string): void => {
    const closed = node.enum !== undefined || node.format === 'date-time';
    if (node.type === 'string' && !closed && node.maxLength === undefined) unbounded.push(path);
    if (node.type === 'array' && node.maxItems === undefined) unbounded.push(path);
    if (node.type === 'integer' && (node.maximum === undefined || node.minimum === undefined)) unbounded.push(path);
    if (node.items !== undefined) visit(node.items, `${path}[]`);
    for (const [name, child] of Object.entries(node.properties ?? {})) {
      if (child.description === undefined) unbounded.push(`${path}.${name} has no description`);
      visit(child, `${path}.${name}`);
    }
  };
  visit(spec, 'spec');
  visit(status, 'status');
  assert.deepEqual(unbounded, []);
});

test('a case is what evidence takes as one', () => {
  const characters = fc.constantFrom('.', '.', 'a', 'Z', '0', '-', '_', '/', ' ', '\n', 'é', '\0');
  const text = fc.oneof(
    fc.array(characters, { maxLength: 6 }).map((all) => all.join('')),
    fc.string(),
  );
  fc.assert(
    fc.property(text, (name) => {
      let taken = true;
      try {
        assertName(name, 'case');
      } catch {
        taken = false;
      }
      assert.equal(accepts(parseNodeCaptureSpec, { ...LEAST, case: name }), taken);
    }),
    { numRuns: 2000 },
  );
});

test('recipients as age makes them have the form that is asked for', async () => {
  for (const make of [generateX25519Identity, generateHybridIdentity]) {
    for (let tries = 0; tries < 20; tries++) {
      const recipients = [await identityToRecipient(await make())];
      assert.ok(accepts(parseNodeCaptureSpec, { ...LEAST, encryption: { recipients } }), recipients[0]);
    }
  }
});

test('a text that is far too long costs no time', () => {
  const long = `${'a-.'.repeat(1_000_000)}!`;
  const began = performance.now();
  for (const field of ['node', 'requestedBy', 'reason', 'case'])
    assert.ok(!accepts(parseNodeCaptureSpec, { ...LEAST, [field]: long }), field);
  assert.ok(performance.now() - began < 1000);
});

test('a mistake is named with its place, and many are not all told', () => {
  assert.throws(() => parseNodeCaptureSpec({ ...LEAST, node: 'Node 1' }), /^ImpoundError: spec\.node: give a name/);
  assert.throws(
    () => parseNodeCaptureSpec({ ...LEAST, suspects: [{ pid: 1 }, {}] }),
    /spec\.suspects\.1: a suspect is one of pod, container or pid/,
  );
  const many = { ...LEAST, suspects: Array.from({ length: 64 }, () => ({ pid: 'x'.repeat(100_000) })) };
  assert.throws(() => parseNodeCaptureSpec(many), /and 59 more/);
});

test('a NodeCapture is read as the API server gives it', () => {
  const object = {
    apiVersion: 'impound.dev/v1alpha1',
    kind: 'NodeCapture',
    metadata: { name: 'web', uid: 'u', managedFields: [{ manager: 'kubectl' }] },
    spec: LEAST,
    status: { ...WHOLE_STATUS, later: 'a field of a later version' },
  };
  const { spec: read, status: state, metadata } = parseNodeCapture(object);
  assert.equal(read.watchSeconds, 10);
  assert.deepEqual(state, WHOLE_STATUS);
  assert.equal(metadata.name, 'web');
  for (const wrong of [{ ...object, kind: 'Node' }, { ...object, apiVersion: 'v1' }, { ...object, metadata: {} }, null])
    assert.throws(() => parseNodeCapture(wrong), ImpoundError);
  assert.throws(() => parseNodeCapture({ ...object, spec: { ...LEAST, later: 1 } }), /spec: Unrecognized key: "later"/);
});

test('there is no time that is not in the calendar', () => {
  const at = (startedAt: string): boolean => accepts(parseNodeCaptureStatus, { startedAt });
  for (const time of ['2026-07-01T10:00:00Z', '2024-02-29T23:59:59.999999999Z']) assert.ok(at(time), time);
  for (const time of ['2026-02-29T10:00:00Z', '2026-13-01T10:00:00Z', '2026-07-01T25:00:00Z', '2026-07-01', 'now'])
    assert.ok(!at(time), time);
});

test('manifests/base/crd.yaml is made of the schema', async () => {
  const stored = await readFile(join(root, 'manifests/base/crd.yaml'), 'utf8');
  assert.equal(stored, crdYaml(), 'run: node protocol/crd.ts > manifests/base/crd.yaml');
});

test('docs/node-capture.md has the table that is made of the schema', async () => {
  const document = await readFile(join(root, 'docs/node-capture.md'), 'utf8');
  assert.ok(document.includes(referenceMarkdown()), 'put in there what is printed by: node protocol/reference.ts');
});
