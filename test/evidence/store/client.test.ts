// The region that requests to a server other than AWS are signed for.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { s3Client } from '../../../evidence/store/s3/client.ts';
import { fileTemporaryFolder } from '../../helpers/temporary.ts';

const folder = await fileTemporaryFolder();
const asked: string[] = [];
const instance = createServer((request, response) => {
  asked.push(`${request.method} ${request.url}`);
  response.end('eu-north-1');
});
await new Promise<void>((resolve) => instance.listen(0, '127.0.0.1', resolve));
test.after(() => instance.close());
const { port } = instance.address() as AddressInfo;

delete process.env.AWS_REGION;
delete process.env.AWS_EC2_METADATA_DISABLED;
process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT = `http://127.0.0.1:${port}`;
process.env.AWS_CONFIG_FILE = join(folder, 'config');
process.env.AWS_SHARED_CREDENTIALS_FILE = join(folder, 'credentials');

await writeFile(join(folder, 'config'), '[profile other]\nregion = ap-south-1\n');
const regionOf = (options = {}) => s3Client({ endpoint: 'http://127.0.0.1:1', ...options }).config.region();

test('it is the usual one where nobody names another, and no instance is asked where it runs', async () => {
  assert.equal(await regionOf(), 'us-east-1');
  assert.deepEqual(asked, []);
});

test('it is what the caller names, else the environment, else the profile', async () => {
  process.env.AWS_PROFILE = 'other';
  assert.equal(await regionOf(), 'ap-south-1');
  process.env.AWS_REGION = 'eu-west-1';
  assert.equal(await regionOf(), 'eu-west-1');
  assert.equal(await regionOf({ region: 'eu-west-2' }), 'eu-west-2');
});
