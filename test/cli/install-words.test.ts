// impound install with wrong words: each is told what it should have been, nothing is printed and no key is made.
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { cli } from '../helpers/cli.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const CLUSTER = ['--render', '--cluster', 'lab'];
const IMAGES = ['--registry', 'registry.example.com', '--tag', '1.2.3'];
const STORE = ['--store', 's3://evidence/lab', '--region', 'eu-central-1'];
const ALL = [...CLUSTER, ...IMAGES, ...STORE];
const VOLUME = [...CLUSTER, ...IMAGES, '--component', 'volume'];

const wrong: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['without --render', [], /applies nothing itself: ".*--render .*impound.yaml" .*kubectl apply --server-side -f/],
  ['no cluster', ['--render', ...IMAGES, ...STORE], /--cluster NAME/],
  [
    'a cluster that is a path',
    ['--render', '--cluster', '../lab', ...IMAGES, ...STORE],
    /--cluster "\.\.\/lab" may only have/,
  ],
  ['no store', [...CLUSTER, ...IMAGES], /--store s3:\/\/BUCKET\/PREFIX, or --component volume/],
  ['a folder without a volume', [...CLUSTER, ...IMAGES, '--store', '/evidence'], /"--component volume"/],
  ['no region', [...CLUSTER, ...IMAGES, '--store', 's3://evidence/lab'], /--region REGION/],
  ['a bucket that is none', [...CLUSTER, ...IMAGES, '--store', 's3://Evidence'], /no name of a bucket/],
  [
    'an endpoint with a password',
    [...ALL, '--endpoint', 'http://me:secret@minio'],
    /--endpoint takes .* without user name and password \[/,
  ],
  ['a retention of nothing', [...ALL, '--retain', '0'], /--retain 0: give whole days/],
  ['a volume with a region', [...VOLUME, '--region', 'eu-central-1'], /not for "--component volume"/],
  ['a volume with a retention', [...VOLUME, '--retain', '7'], /for a store in S3/],
  ['a volume elsewhere', [...VOLUME, '--store', '/data'], /is \/evidence; give that/],
  ['a volume and a way out of it', [...VOLUME, '--store', '/evidence/../etc'], /is \/evidence; give that/],
  ['a size that is none', [...VOLUME, '--volume-size', 'big'], /such as 500Gi/],
  ['a size of no volume', [...ALL, '--volume-size', '5Gi'], /--component volume/],
  ['an unknown component', [...ALL, '--component', 'isolation'], /--component isolation: there is no such folder/],
  ['no images', [...CLUSTER, ...STORE], /--registry REGISTRY --tag TAG, or --controller-image/],
  ['one image of two', [...CLUSTER, ...STORE, '--controller-image', 'r/c:1'], /no agent's was given/],
  ['a registry without a tag', [...CLUSTER, ...STORE, '--registry', 'r.io'], /belong together/],
  ['an image that is none', [...ALL, '--agent-image', 'r.io/Agent:1'], /no reference of an image/],
  ['a key in no KMS', [...ALL, '--key', 'kms:mine'], /kms:arn:aws:kms:REGION/],
  ['a time stamp authority that is none', [...ALL, '--tsa', 'tsa.example.com'], /--tsa takes/],
  ['TLS of nobody', [...ALL, '--tls', 'none'], /"self", "cert-manager" or/],
  ['an issuer of no kind', [...ALL, '--tls', 'cert-manager=corporate'], /cert-manager=ClusterIssuer\/NAME/],
  ['a renewal of cert-manager', [...ALL, '--tls', 'cert-manager', '--renew'], /does both itself/],
  ['both steps of a rotation', [...ALL, '--renew', '--rotate-ca'], /are two steps/],
  ['a Secret with no name', [...ALL, '--store-secret', 'My_Secret'], /--store-secret My_Secret: that is no name/],
  ['an annotation without a value', [...ALL, '--service-account-annotation', 'role'], /give NAME=VALUE/],
  ['a word for agents that is none', [...ALL, '--agent-arg', 'containerd'], /give it as one word/],
  ['a port that is none', [...ALL, '--egress-port', '70000'], /--egress-port 70000: give a port/],
  ['an option that is none', [...ALL, '--namespace', 'mine'], /namespace/],
  ['a secret on the command line', [...ALL, '--secret-key', 'x'], /secret-key|secretKey/],
];

test('wrong words', { concurrency: 2 }, async (t) => {
  const home = await temporaryFolder(t);
  const tried = wrong.map(([what, words, message]) =>
    t.test(what, async () => {
      const ran = await cli(['install', ...words], { home });
      assert.equal(ran.code, 64, ran.stderr);
      assert.match(ran.stderr, /^impound: .+ \[usage\]\n$/);
      assert.match(ran.stderr, message);
      assert.equal(ran.stdout, '');
    }),
  );
  await Promise.all(tried);
  assert.deepEqual(await readdir(home), []);
});
