// The AWS client as every request here needs it: credentials and endpoint by the SDK's own rules, one attempt a call, and
// the digest that is sent as a header anyway as the payload's hash, so that nothing is hashed twice.
import { S3Client } from '@aws-sdk/client-s3';
import { loadConfig, NODE_REGION_CONFIG_FILE_OPTIONS, NODE_REGION_CONFIG_OPTIONS } from '@smithy/core/config';

const CONNECT_MILLISECONDS = 5000;
/** Without a byte either way. */
const SILENCE_MILLISECONDS = 30_000;
const SOCKETS = 64;
/** What servers other than AWS call theirs unless they are told otherwise, and what other clients take. */
const USUAL_REGION = 'us-east-1';

export interface S3Access {
  /** Of a server that speaks S3; else AWS, or AWS_ENDPOINT_URL_S3. */
  readonly endpoint?: string;
  /** Else what the SDK finds; for a server that is not AWS what environment or profile name, and us-east-1 where they do not. */
  readonly region?: string;
  /** Else what the SDK finds: environment, profile, web identity, Pod Identity, instance. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

export function s3Client({ endpoint, region, credentials }: S3Access): S3Client {
  const elsewhere = endpoint ?? process.env.AWS_ENDPOINT_URL_S3 ?? process.env.AWS_ENDPOINT_URL;
  const client = new S3Client({
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region !== undefined ? { region } : elsewhere !== undefined ? { region: usualRegion() } : {}),
    ...(credentials === undefined ? {} : { credentials }),
    // servers other than AWS have no name for each bucket
    forcePathStyle: elsewhere !== undefined,
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECT_MILLISECONDS,
      socketTimeout: SILENCE_MILLISECONDS,
      httpAgent: { maxSockets: SOCKETS, keepAlive: true },
      httpsAgent: { maxSockets: SOCKETS, keepAlive: true },
    },
  });
  client.middlewareStack.add(
    (next) => async (args) => {
      const { request } = args as { readonly request?: { readonly headers: Record<string, string> } };
      const checksum = request?.headers['x-amz-checksum-sha256'];
      if (request !== undefined && checksum !== undefined && !checksum.includes('-'))
        request.headers['x-amz-content-sha256'] = Buffer.from(checksum, 'base64').toString('hex');
      return next(args);
    },
    { step: 'build', name: 'knownPayloadHash' },
  );
  return client;
}

/** Looked up once. No instance is asked where it runs: that says nothing of another's server, and may take a second. */
function usualRegion(): () => Promise<string> {
  return loadConfig({ ...NODE_REGION_CONFIG_OPTIONS, default: USUAL_REGION }, NODE_REGION_CONFIG_FILE_OPTIONS);
}
