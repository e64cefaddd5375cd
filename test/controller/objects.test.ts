// What is known of captures between a write of this replica and the watch that tells of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { capturesByName } from '../../controller/objects.ts';
import type { KubernetesObject } from '../../kubernetes/index.ts';
import { silentLog } from '../helpers/bundle.ts';

function captureAt(resourceVersion: string): KubernetesObject {
  const spec = { node: 'node1', requestedBy: 'a', reason: 'b', encryption: { none: true } };
  const metadata = { name: 'one', uid: 'u', resourceVersion };
  return { apiVersion: 'impound.dev/v1alpha1', kind: 'NodeCapture', metadata, spec } as KubernetesObject;
}

test('a capture that was written is behind until the watch tells of that version, or it is gone', () => {
  const captures = capturesByName(silentLog);
  captures.set('one', captureAt('1'));
  assert.equal(captures.isBehind('one'), false);
  captures.wrote(captureAt('3'));
  assert.equal(captures.isBehind('one'), true);
  captures.set('one', captureAt('2'));
  assert.equal(captures.isBehind('one'), true, 'somebody wrote before');
  captures.set('one', captureAt('3'));
  assert.equal(captures.isBehind('one'), false);
  captures.wrote(captureAt('3'));
  assert.equal(captures.isBehind('one'), false, 'the watch was faster than the answer');
  captures.wrote(captureAt('4'));
  captures.set('one', undefined);
  captures.wrote(captureAt('5'));
  assert.equal(captures.isBehind('one'), false, 'nobody tells of what is gone');
});

test('a version that the watch never tells of is waited for a second', { timeout: 5000 }, (context) => {
  const captures = capturesByName(silentLog);
  captures.set('one', captureAt('1'));
  const now = performance.now();
  captures.wrote(captureAt('2'));
  assert.equal(captures.isBehind('one'), true);
  context.mock.method(performance, 'now', () => now + 1500);
  assert.equal(captures.isBehind('one'), false);
});
