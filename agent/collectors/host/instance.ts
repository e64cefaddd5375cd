// Identity of an EC2 instance from its metadata service (IMDSv2), asked only where the firmware says it is EC2's.
import type { PartReader } from './parts.ts';

export const IMDS = 'http://169.254.169.254';
const MAX_BYTES = 64 * 1024;
const MILLISECONDS = 1000;

export function isEc2(read: PartReader): boolean {
  const names = ['sys_vendor', 'bios_version', 'bios_vendor', 'board_asset_tag'].map(
    (name) => read.sys(`class/dmi/id/${name}`) ?? '',
  );
  return names.some((name) => /amazon/i.test(name)) || (read.sys('hypervisor/uuid') ?? '').startsWith('ec2');
}

/** Throws where the service does not answer within a second, or not with its own documents. */
export async function instanceIdentity(base: string, signal: AbortSignal): Promise<Record<string, unknown>> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(MILLISECONDS)]);
  const token = await ask(`${base}/latest/api/token`, {
    method: 'PUT',
    headers: { 'x-aws-ec2-metadata-token-ttl-seconds': '60' },
    signal: bounded,
  });
  const headers = { 'x-aws-ec2-metadata-token': token };
  const document = await ask(`${base}/latest/dynamic/instance-identity/document`, { headers, signal: bounded });
  // PKCS #7 over the document, by AWS: an analyst can check it, so it is kept as it came
  const signature = await ask(`${base}/latest/dynamic/instance-identity/pkcs7`, { headers, signal: bounded });
  return { document: JSON.parse(document) as unknown, pkcs7: signature };
}

async function ask(url: string, request: RequestInit): Promise<string> {
  const response = await fetch(url, { ...request, redirect: 'error' });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString('utf8');
    if (text.length > MAX_BYTES) throw new Error(`${url} answered with more than ${MAX_BYTES} bytes`);
  }
  return text;
}
