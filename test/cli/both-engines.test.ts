// A node with a real kubelet and containerd and a real Docker engine, with an intrusion in a pod: the whole capture of it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { cli, lastLine } from '../helpers/cli.ts';
import { rowsOf } from '../helpers/collect.ts';
import { missing } from '../helpers/component.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { CLUSTER_COMPONENTS, type Cluster, startCluster } from '../testbed/cluster.ts';
import { BUSYBOX, type Dockerd, startDockerd } from '../testbed/dockerd.ts';

const SECRET = 'the-planted-secret-7f3a';
/** What an intruder does in a pod: drops a program and runs it, deletes a file, gives a shell the SUID bit, listens. */
const INTRUSION = [
  'cp /bin/busybox /tmp/busybox-x && /tmp/busybox-x sleep 1000000 &',
  'rm /etc/passwd; chmod 4755 /bin/busybox',
  `TOKEN=${SECRET} busybox sh -c 'sleep 1000000' &`,
  'busybox nc -ll -p 4444 -e /bin/sh &',
  'echo pod says hello; while true; do sleep 1; done',
].join('\n');

const lacking = missing([...CLUSTER_COMPONENTS, 'dockerd', 'docker', 'tcpdump', 'nft', 'getfattr', 'zstd']);
const bed: { cluster?: Cluster; dockerd?: Dockerd; bundle: string; home: string } = {
  bundle: '',
  home: await fileTemporaryFolder(),
};

before(async () => {
  if (lacking !== undefined && process.env.CI !== 'true') return;
  assert.equal(lacking, undefined);
  const [cluster, dockerd] = await Promise.all([startCluster(), startDockerd()]);
  Object.assign(bed, { cluster, dockerd });
  await Promise.all([
    cluster.pod('victim', INTRUSION),
    dockerd.run('--name', 'bystander', BUSYBOX, 'sleep', '1000000'),
  ]);
  const captured = await cli(
    [
      ...['capture', '--local', '--profile', 'full', '--store', join(bed.home, 'store'), '--watch', '2'],
      ...['--containerd', cluster.containerd, '--docker', dockerd.socket, '--suspect', 'pod:default/victim'],
      ...['--reason', 'a test'],
    ],
    { home: bed.home },
  );
  assert.equal(captured.code, 0, captured.stderr);
  bed.bundle = lastLine(captured);
});

after(async () => {
  await Promise.all([bed.cluster?.stop(), bed.dockerd?.stop()]);
});

const scenario = (name: string, work: () => Promise<void>): void => {
  test(name, { skip: lacking !== undefined && process.env.CI !== 'true' ? lacking : false }, work);
};

const rows = async (path: string) => rowsOf(await readFile(join(bed.bundle, 'data', path)));
const uncompressed = (path: string): Buffer =>
  execFileSync('zstd', ['-dcq', join(bed.bundle, 'data', path)], { maxBuffer: 4 * 1024 ** 3 });
/** The rows whose JSON has all of these words. */
const withWords = <T extends object>(list: readonly T[], ...words: readonly string[]): T[] =>
  list.filter((row) => words.every((word) => JSON.stringify(row).includes(word)));

scenario('the bundle is sealed and verifies', async () => {
  const verified = await cli(['verify', bed.bundle, '--strict', '--key', join(bed.home, 'impound/signing.pem.pub')], {
    home: bed.home,
  });
  assert.equal(verified.code, 0, verified.stdout);
});

scenario('the pod is there with its containers, processes and network namespace', async () => {
  const sandboxes = withWords(await rows('30-container/cri/sandboxes.jsonl'), '"victim"');
  assert.equal(sandboxes.length, 1);
  const containers = withWords(await rows('30-container/cri/containers.jsonl'), '"victim"');
  assert.equal(containers.length, 1);
  const uid = (await bed.cluster?.kubectl('get', 'pod', 'victim', '-o', 'jsonpath={.metadata.uid}')) ?? '';
  assert.ok(JSON.stringify(containers).includes(uid));
  assert.match(JSON.stringify(containers), /sha256:[0-9a-f]{64}/);
  const { id } = (containers[0] as { container: { id: string } }).container;
  const processes = withWords(await rows('10-process/processes.jsonl'), `"container":{"id":"${id}"`);
  assert.ok(withWords(processes, '/tmp/busybox-x').length >= 1, 'the dropped program');
  assert.ok(withWords(processes, SECRET).length >= 1, 'its environment');
  const sockets = withWords(await rows('20-network/sockets.jsonl'), '4444');
  assert.ok(sockets.length >= 1, 'its listener');
});

scenario('what changed in the pod is in its layer and in the drift', async () => {
  const drift = await rows('30-container/layers/drift.jsonl');
  const [dropped] = withWords(drift, '/tmp/busybox-x', 'added');
  const digest = createHash('sha256')
    .update(await readFile('/bin/busybox'))
    .digest('hex');
  assert.ok(JSON.stringify(dropped).includes(digest), JSON.stringify(dropped));
  assert.match(JSON.stringify(dropped), /"executed":true/);
  assert.equal(withWords(drift, '/etc/passwd', 'deleted').length, 1);
  assert.equal(withWords(drift, '/bin/busybox', 'changed').length, 1);
  const binaries = await rows('10-process/binaries.jsonl');
  assert.ok(withWords(binaries, '/tmp/busybox-x', digest).length >= 1, 'recovered');
});

scenario('the memory of the pod holds the secret', async () => {
  const cores = await rows('40-memory/processes.jsonl');
  assert.ok(cores.length >= 3);
  const members = cores.flatMap((row) => /40-memory\/[^"]+\.core\.zst/.exec(JSON.stringify(row))?.[0] ?? []);
  assert.ok(members.some((path) => uncompressed(path).includes(SECRET)));
});

scenario("the pod's log is byte for byte the node's", async () => {
  const archive = uncompressed('70-log/pods.tar.zst');
  assert.ok(archive.includes('stdout F pod says hello'));
});

scenario('the disk that holds the store is not imaged into itself', async () => {
  const coverage = await readFile(join(bed.bundle, 'data/00-meta/coverage.json'), 'utf8');
  const gaps = await readFile(join(bed.bundle, 'data/00-meta/gaps.jsonl'), 'utf8');
  assert.match(coverage, /"disk"/);
  assert.match(gaps, /"collector":"disk".*"reason":"skipped"/);
});

scenario('the bystander in Docker is described, and left out of what is for suspects', async () => {
  assert.equal(withWords(await rows('30-container/docker/containers.jsonl'), 'bystander').length, 1);
});
