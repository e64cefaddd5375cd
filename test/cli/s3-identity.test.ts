// Who signs and who is named: a key in AWS KMS, and the identity that AWS STS gives.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { startKms } from '../cloud/kms-server.ts';
import { lastLine } from '../helpers/cli.ts';
import { missing, needs } from '../helpers/component.ts';
import { fileS3Bed, s3Bundle } from '../helpers/s3-cli.ts';
import { startProxy } from '../testbed/fault-proxy.ts';
import { MOTO_COMPONENTS } from '../testbed/moto.ts';
import { S3_COMPONENTS } from '../testbed/s3.ts';

const components = [...S3_COMPONENTS, ...MOTO_COMPONENTS];
const bed = missing(components) === undefined ? await fileS3Bed() : undefined;
const aws = bed === undefined ? undefined : await startKms({ after });
const small = ['capture', '--local', '--collector', 'host', '--encryption', 'none', '--docker', '/nonexistent'];

test('the access names whom STS knows, asked where the store is; without it the login name', async (t) => {
  if (!needs(t, ...components) || bed === undefined || aws === undefined) return;
  const { name } = await bed.bucket();
  const bundle = await s3Bundle(bed, name);
  const dir = await bed.folder();
  const pull = ['pull', bundle.url, dir, '--reason', 'a test'];
  const proxy = await startProxy(t, aws.endpoint);
  const known = await bed.run([...pull, '--region', 'us-east-1'], {
    env: { AWS_ENDPOINT_URL_STS: proxy.endpoint, AWS_REGION: 'eu-west-1' },
  });
  assert.equal(known.code, 0, known.stderr);
  assert.match(proxy.seen[0]?.headers.authorization ?? '', /\/us-east-1\/sts\//);
  const unknown = await bed.run(pull);
  assert.equal(unknown.code, 0, unknown.stderr);
  const listed = await bed.run(['ls', bundle.url, '--custody', '--json']);
  const actors = listed.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).predicate)
    .filter(({ action }) => action === 'access')
    .map(({ actor }) => actor);
  assert.equal(actors.length, 2);
  assert.match(actors[0].name, /^arn:aws:sts::\d{12}:/);
  assert.deepEqual([actors[0].kind, actors[1].kind], ['person', 'person']);
  assert.ok(!actors[1].name.startsWith('arn:'), actors[1].name);
  assert.equal(actors[0].node, actors[1].node);
});

test('a key in KMS signs a capture; verify takes that key and no other', async (t) => {
  if (!needs(t, ...components) || bed === undefined || aws === undefined) return;
  const { url } = await bed.bucket({ objectLock: true });
  const env = { AWS_ENDPOINT_URL_KMS: aws.endpoint, AWS_ENDPOINT_URL_STS: aws.endpoint };
  const [own, other] = [await newKey(aws.endpoint), await newKey(aws.endpoint)];
  const captured = await bed.run([...small, '--store', url, '--key', `kms:${own}`, '--verify'], { env });
  assert.equal(captured.code, 0, captured.stderr + captured.stdout);
  const bundle = lastLine(captured);
  const verify = (...more: readonly string[]) => bed.run(['verify', bundle, '--strict', '--json', ...more], { env });
  const verified = await verify('--key', `kms:${own}`);
  assert.equal(verified.code, 0, verified.stdout);
  const { verdict, signer } = JSON.parse(verified.stdout);
  assert.deepEqual([verdict, signer.kind, signer.trusted], ['intact', 'AWS KMS', true]);
  assert.match(captured.stdout, new RegExp(`--key kms:${own} `), 'the next command can be copied');
  for (const key of [`kms:${other}`, bed.key]) {
    const refused = await verify('--key', key);
    assert.equal(refused.code, 1, refused.stdout);
    const report = JSON.parse(refused.stdout);
    assert.equal(report.verdict, 'not intact');
    assert.ok(report.findings.some(({ code }: { code: string }) => code === 'signer-unknown'));
  }
  const dir = await bed.folder();
  const pulled = await bed.run(['pull', bundle, dir, '--reason', 'a test', '--key', `kms:${own}`], { env });
  assert.equal(pulled.code, 0, pulled.stderr + pulled.stdout);
  const again = await verify('--key', `kms:${own}`);
  assert.deepEqual([again.code, JSON.parse(again.stdout).warnings], [0, []], 'the access is by a key of the chain');
});

test('a key in KMS that is not there stops before anything is written', async (t) => {
  if (!needs(t, ...components) || bed === undefined || aws === undefined) return;
  const { url } = await bed.bucket();
  const env = { AWS_ENDPOINT_URL_KMS: aws.endpoint };
  const gone = 'kms:arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555';
  const proxy = await startProxy(t, bed.s3.endpoint);
  const ran = await bed.run([...small, '--store', url, '--key', gone], { env, endpoint: proxy.endpoint });
  assert.equal(ran.code, 2);
  assert.match(ran.stderr, /no KMS key .*\[key-unreadable\]$/m);
  assert.deepEqual(proxy.seen, []);
  const word = await bed.run([...small, '--store', url, '--key', 'kms:my-key'], { env });
  assert.equal(word.code, 64);
});

async function newKey(endpoint: string): Promise<string> {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
  const client = new KMSClient({ endpoint, region: 'us-east-1', credentials });
  const { KeyMetadata } = await client.send(
    new CreateKeyCommand({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' }),
  );
  client.destroy();
  return KeyMetadata?.Arn ?? '';
}
