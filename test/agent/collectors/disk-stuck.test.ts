// A disk that never answers, in a process of its own: the collector ends within its limits, and so does the process.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { needs } from '../../helpers/component.ts';
import { failingDevice } from '../../helpers/loop-device.ts';
import { python } from '../../helpers/programs.ts';
import { needsRoot } from '../../helpers/small-disk.ts';
import { folderWith, temporaryFolder } from '../../helpers/temporary.ts';

const MEBIBYTE = 1024 ** 2;
/** Without an answer for so long a disk is given up in these tests; and how long the child may then take to end. */
const HUNG_SECONDS = 3;
const ENDS_SECONDS = 10;
/** When a capture has ended that had nothing to wait for but that. */
const SAYS_SECONDS = 25;

const imported = (path: string): string => JSON.stringify(join(import.meta.dirname, '../../..', path));

/**
 * The collector on the engine, and then what the command line does once the evidence is stored: usual exit, or where a
 * thread was left behind a hard one. DEVICE, milliseconds without an answer, seconds after which the capture is stopped.
 */
const CAPTURES = `
import { readdirSync, readFileSync } from 'node:fs';
import { SIZES } from ${imported('agent/collectors/disk/sizes.ts')};
import { collectDisks, disk } from ${imported('agent/collectors/disk.ts')};
import { hostAt } from ${imported('agent/host/host.ts')};
import { captureNode } from ${imported('agent/node-capture.ts')};
import { nodeSettings } from ${imported('agent/settings.ts')};
import { LocalCustodian, systemClock } from ${imported('evidence/index.ts')};
import { beginEmpty, silentLog } from ${imported('test/helpers/bundle.ts')};
const [folder, device, hung, stopAfter] = process.argv.slice(1);
const sizes = { ...SIZES, hung: Number(hung) };
const run = [{ ...disk, collect: (context) => collectDisks(context, sizes) }];
const host = hostAt('/');
const none = { dockerSockets: [], criSockets: [], containerdSockets: [] };
const { store, chain } = await beginEmpty(folder);
const custodian = new LocalCustodian({ store, chain, clock: systemClock });
const stop = new AbortController();
if (stopAfter !== '') setTimeout(() => stop.abort(), Number(stopAfter) * 1000);
const begun = performance.now();
const { results, leftBehind } = await captureNode({
  host, custodian, session: 1, signal: stop.signal, log: silentLog, clock: systemClock, observe() {},
  settings: { ...nodeSettings(host), ...none, profile: 'full', devices: [device] },
  selected: { run, skipped: [] },
});
await custodian.flush();
const seconds = (performance.now() - begun) / 1000;
// in state D; comm may have blanks in it
const state = (thread) => readFileSync('/proc/self/task/' + thread + '/stat', 'latin1').replace(/^.*\\) /s, '')[0];
const waiting = readdirSync('/proc/self/task').filter((thread) => state(thread) === 'D').length;
const found = results.map(({ outcome, gaps, artefacts }) => ({ outcome, artefacts, gaps }));
console.log(JSON.stringify({ results: found, seconds, waiting, leftBehind }));
if (leftBehind) process.execve('/bin/sh', ['sh', '-c', 'exit 3'], {});
process.exit(3);
`;

interface Said {
  readonly results: readonly {
    readonly outcome: string;
    readonly artefacts: number;
    readonly gaps: readonly { readonly reason: string; readonly detail?: string }[];
  }[];
  readonly seconds: number;
  /** Threads that hang in a system call. */
  readonly waiting: number;
  readonly leftBehind: boolean;
}

/** A device that answers for its first 16 MiB. */
async function stuckDevice(t: TestContext): Promise<string> {
  const folder = await folderWith(t, { content: Buffer.alloc(24 * MEBIBYTE, 'x') });
  const { path } = await failingDevice(t, join(folder, 'content'), {
    start: 16 * MEBIBYTE,
    end: 24 * MEBIBYTE,
    how: 'hang',
  });
  return path;
}

/** As a mount holds it: whoever else closes it does not close it for the last time. Let go once the device answers. */
function hold(t: TestContext, device: string): void {
  const held = openSync(device, 'r');
  t.after(() => closeSync(held));
}

interface Captured {
  readonly said: Said;
  /** Its exit status; undefined where it had not ended in time. */
  readonly status: number | null | undefined;
}

async function captureOf(t: TestContext, device: string, hung: number, stopAfter?: number): Promise<Captured> {
  const words = [await temporaryFolder(t), device, String(hung * 1000), String(stopAfter ?? '')];
  const child: ChildProcess = spawn(
    process.execPath,
    ['--input-type=module-typescript', '--eval', CAPTURES, '--', ...words],
    { stdio: ['ignore', 'pipe', 'inherit'], timeout: 60_000 },
  );
  const exited = once(child, 'exit') as Promise<[number | null]>;
  assert.ok(child.stdout !== null);
  const lines = createInterface({ input: child.stdout });
  const silence = setTimeout(() => lines.emit('line', ''), SAYS_SECONDS * 1000);
  const [text] = (await once(lines, 'line')) as [string];
  clearTimeout(silence);
  if (text === '') {
    child.kill('SIGKILL');
    child.unref();
    child.stdout.destroy();
  }
  assert.notEqual(text, '', 'the capture itself hangs');
  const said = JSON.parse(text) as Said;
  const late = Promise.withResolvers<[undefined]>();
  const timer = setTimeout(() => late.resolve([undefined]), ENDS_SECONDS * 1000);
  const [status] = await Promise.race([exited, late.promise]);
  clearTimeout(timer);
  if (status === undefined) {
    // the device answers again with the hook that was set before this one; then it can be ended
    child.kill('SIGKILL');
    child.unref();
  }
  return { said, status };
}

const STUCK = 'reading it did not come back: the disk is stuck';

function stuckTest(name: string, work: (t: TestContext, device: string) => Promise<void>): void {
  test(name, { skip: needsRoot, timeout: 60_000 }, async (t) => {
    if (needs(t, 'losetup')) await work(t, await stuckDevice(t));
  });
}

stuckTest(
  'a disk in use that never answers costs two threads and its own time, and the process ends',
  async (t, device) => {
    hold(t, device);
    const { said, status } = await captureOf(t, device, HUNG_SECONDS);
    const [result] = said.results;
    assert.deepEqual(
      result?.gaps.map(({ reason, detail }) => [reason, detail]),
      [['timeout', STUCK]],
    );
    assert.ok((result?.artefacts ?? 0) >= 3, 'what came before is stored, with its map');
    assert.equal(said.leftBehind, true);
    assert.equal(status, 3, 'it did not end');
    assert.ok(said.waiting <= 2, `${said.waiting} threads hang: the store has four for all it does`);
    assert.ok(said.seconds < 1.7 * HUNG_SECONDS, `${said.seconds} s: it was waited for twice`);
  },
);

stuckTest(
  'a disk nobody else holds open, and that never answers, does not keep the process from ending',
  async (t, device) => {
    const { said, status } = await captureOf(t, device, HUNG_SECONDS);
    assert.equal(said.results[0]?.gaps[0]?.detail, STUCK);
    assert.equal(status, 3, 'the kernel empties its cache when it is closed for the last time: it did not end');
  },
);

stuckTest('a capture that is stopped while a disk does not answer ends, and so does its process', async (t, device) => {
  hold(t, device);
  const { said, status } = await captureOf(t, device, 30, 3);
  assert.equal(said.results[0]?.outcome, 'aborted');
  assert.ok(said.seconds < 8, `${said.seconds} s`);
  assert.deepEqual([said.leftBehind, status], [true, 3], 'a read hangs: only a hard end is one');
});

/** Hangs in a read of the disk; ended, it empties the device's cache, which others who open it must wait for. */
const READS = `
import os, sys, threading
device = os.open(sys.argv[1], os.O_RDONLY)
threading.Thread(target=os.pread, args=(device, 4096, 20 << 20)).start()
print("reads", flush=True)
`;

stuckTest(
  'a disk that cannot even be opened, since it is being closed for good, is a gap like one that does not answer',
  async (t, device) => {
    if (!needs(t, 'python3')) return;
    const { child } = await python(t, READS, [device]);
    await sleep(500);
    child.kill('SIGKILL');
    await sleep(500);
    const { said } = await captureOf(t, device, HUNG_SECONDS);
    assert.equal(said.results[0]?.gaps[0]?.reason, 'timeout');
    assert.ok(said.seconds < 1.7 * HUNG_SECONDS, `${said.seconds} s`);
  },
);
