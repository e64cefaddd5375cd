import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { needs } from '../helpers/component.ts';
import { MOTO_COMPONENTS, startMoto } from './moto.ts';
import { makeBucket } from './s3.ts';

test('it answers for STS, KMS and EC2', async (t) => {
  if (!needs(t, ...MOTO_COMPONENTS)) return;
  const { endpoint } = await startMoto(t);
  const ask = async (service: string, headers: Record<string, string>, body: string): Promise<string> => {
    // the service is read off the signature, which is not looked at
    const authorization = `AWS4-HMAC-SHA256 Credential=any/20260101/eu-west-1/${service}/aws4_request, SignedHeaders=host, Signature=0`;
    const response = await fetch(endpoint, { method: 'POST', headers: { ...headers, authorization }, body });
    assert.equal(response.status, 200);
    return response.text();
  };
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const kms = async (action: string, input: object) =>
    JSON.parse(await ask('kms', { 'x-amz-target': `TrentService.${action}` }, JSON.stringify(input)));

  assert.match(await ask('sts', form, 'Action=GetCallerIdentity&Version=2011-06-15'), /<Account>\d{12}<\/Account>/);
  assert.match(await ask('ec2', form, 'Action=DescribeInstances&Version=2016-11-15'), /<reservationSet/);
  const { KeyId } = (await kms('CreateKey', {})).KeyMetadata;
  const { CiphertextBlob } = await kms('Encrypt', { KeyId, Plaintext: 'c2VjcmV0' });
  assert.equal((await kms('Decrypt', { CiphertextBlob })).Plaintext, 'c2VjcmV0');
});

test('its S3 takes a body that is not what was announced', async (t) => {
  if (!needs(t, ...MOTO_COMPONENTS)) return;
  const { endpoint } = await startMoto(t);
  const credentials = { accessKeyId: 'any', secretAccessKey: 'any' };
  const client = new S3Client({ endpoint, region: 'us-east-1', credentials, forcePathStyle: true });
  t.after(() => client.destroy());
  await makeBucket(client, { name: 'evidence' });
  const ChecksumSHA256 = Buffer.alloc(32).toString('base64');
  await client.send(new PutObjectCommand({ Bucket: 'evidence', Key: 'key', Body: 'x', ChecksumSHA256 }));
});
