// The pods of Impound as it is installed: waited for, and taken away.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Installed } from '../testbed/installed.ts';
import { type InstalledPod, isReady, pods } from './installed-captures.ts';

/** Until so many replicas of the controller are ready, neither more nor fewer. */
export async function untilReady(
  installed: Installed,
  seconds: number,
  count: number,
): Promise<readonly InstalledPod[]> {
  for (const end = Date.now() + seconds * 1000; ; await sleep(500)) {
    const ready = (await pods(installed, 'controller')).filter(isReady);
    if (ready.length === count) return ready;
    assert.ok(Date.now() < end, `${ready.length} replicas are ready, and not ${count}`);
  }
}

/** All of the program's; returns when they are gone, and others are on their way. */
export async function deletePods({ cluster, namespace }: Installed, program: string): Promise<void> {
  await cluster.kubectl('delete', 'pods', '-n', namespace, '-l', `app.kubernetes.io/name=impound-${program}`);
}
