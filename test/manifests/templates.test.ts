// The templates as files: cfn-lint finds nothing, every statement is explained where it stands, and they deploy.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { needs } from '../helpers/component.ts';
import { cacheDirectory, pythonEnvironment } from '../testbed/components.ts';
import { MOTO_COMPONENTS, startMoto } from '../testbed/moto.ts';
import { TEMPLATE_COMPONENTS, TEMPLATES, type TemplateName, templateFile } from './template.ts';

const run = promisify(execFile);
const program = (name: string): string => join(pythonEnvironment(cacheDirectory()), 'bin', name);

test('cfn-lint finds nothing, not even something to inform of', async (t) => {
  if (!needs(t, ...TEMPLATE_COMPONENTS)) return;
  const files = TEMPLATES.map(templateFile);
  const { stdout } = await run(program('cfn-lint'), ['--include-checks', 'I', '--', ...files]);
  assert.equal(stdout, '');
});

test('each statement is explained by a comment right above it', async () => {
  for (const name of TEMPLATES) {
    const lines = (await readFile(templateFile(name), 'utf8')).split('\n');
    const bare = lines.filter((line, index) => /^ *- Sid:/.test(line) && !/^ *# /.test(lines[index - 1] ?? ''));
    assert.deepEqual(bare, [], name);
    assert.ok(lines.some((line) => line.includes('- Sid:')));
  }
});

test("the three stacks deploy one after the other, each with the others' outputs", async (t) => {
  if (!needs(t, 'awscli', ...MOTO_COMPONENTS)) return;
  const { endpoint } = await startMoto(t);
  const aws = async (...words: readonly string[]): Promise<string> => {
    const credentials = {
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_DEFAULT_REGION: 'eu-central-1',
    };
    const env = { PATH: process.env.PATH, AWS_ENDPOINT_URL: endpoint, ...credentials, AWS_CONFIG_FILE: '/dev/null' };
    return (await run(program('aws'), [...words, '--output', 'json'], { env })).stdout;
  };
  const deploy = async (name: TemplateName, given: Readonly<Record<string, string>>): Promise<typeof given> => {
    const parameters = Object.entries(given).map(([key, value]) => `ParameterKey=${key},ParameterValue=${value}`);
    const file = ['--stack-name', name, '--template-body', `file://${templateFile(name)}`];
    const more = [
      '--capabilities',
      'CAPABILITY_IAM',
      ...(parameters.length === 0 ? [] : ['--parameters', ...parameters]),
    ];
    await aws('cloudformation', 'create-stack', ...file, ...more);
    const { Stacks } = JSON.parse(await aws('cloudformation', 'describe-stacks', '--stack-name', name)) as {
      Stacks: readonly { Outputs: readonly { OutputKey: string; OutputValue: string }[] }[];
    };
    return Object.fromEntries((Stacks[0]?.Outputs ?? []).map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]));
  };
  const bucket = await deploy('evidence-bucket', { RetentionDays: '7' });
  const key = await deploy('signing-key', { SignerArn: 'arn:aws:iam::123456789012:role/impound-controller' });
  const outputs = await deploy('access-policies', { ...bucket, ...key });
  assert.deepEqual(Object.keys(outputs), ['ControllerPolicyArn', 'AnalystPolicyArn', 'AuditorPolicyArn']);
});
