// What the controller is started with: one YAML file that is checked whole, and from its pod who and where it is.
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { z } from 'zod';
import { assertAuthorityUrl, describeError, ImpoundError, parseS3Url } from '../evidence/index.ts';

const MAX_RETAIN_DAYS = 36_500;

const file = z.strictObject({
  /** First segment of every bundle's path: which cluster it was. */
  cluster: z
    .string()
    .regex(/^(\.*[A-Za-z0-9_-][A-Za-z0-9._-]*)$/, 'letters, digits, ".", "_" and "-"')
    .max(200),
  store: z.strictObject({
    /** s3://BUCKET/PREFIX, or a directory on a volume. */
    url: z.string().min(1),
    endpoint: z.url().optional(),
    region: z.string().optional(),
    retention: z
      .strictObject({ mode: z.enum(['COMPLIANCE', 'GOVERNANCE']), days: z.int().min(1).max(MAX_RETAIN_DAYS) })
      .optional(),
    legalHold: z.literal(true).optional(),
    kmsKey: z.string().optional(),
  }),
  /** PEM file of the signing key, or kms:ARN. */
  key: z.string().min(1),
  /** RFC 3161 time stamp authorities, in order. */
  tsa: z.array(z.string()).max(8).default([]),
  listen: z.strictObject({
    host: z.string().default('0.0.0.0'),
    port: z.int().min(0).max(65_535).default(8443),
    /** PEM files, read again when they change. */
    certificate: z.string(),
    key: z.string(),
  }),
  /** Where agents reach the service; needed where the store is a directory, since they send their bytes there. */
  service: z.url({ protocol: /^https$/ }).optional(),
  agents: z
    .strictObject({
      serviceAccount: z.string().default('impound-agent'),
      /** PEM file with the authorities that agents are given, to know whether they take our certificate. */
      authority: z.string().default('/etc/impound-ca/ca.crt'),
      /** Life of a granted URL. */
      grantSeconds: z.int().min(10).max(120).default(60),
      maxBytes: z
        .int()
        .min(1)
        .default(4 * 1024 ** 4),
      maxArtefacts: z.int().min(1).default(100_000),
    })
    .prefault({}),
});

const pod = z.object({
  namespace: z.string().min(1),
  /** Of this replica. */
  name: z.string().min(1),
  /** The node that it stands on. */
  node: z.string().min(1),
  /** Where other replicas' callers are sent. */
  address: z.string().min(1),
});

export type ControllerConfig = z.output<typeof file> & { readonly pod: z.output<typeof pod> };

/** Throws `usage`, with each field that is wrong. */
export async function readConfig(path: string, env: NodeJS.ProcessEnv): Promise<ControllerConfig> {
  let text: unknown;
  try {
    text = parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw usage(`cannot read ${path}: ${describeError(cause)}`, cause);
  }
  const config = checked(file, text, path);
  if (parseS3Url(config.store.url) === undefined && config.service === undefined)
    throw usage(`${path}: service: needed where the store is a directory, since agents send their bytes there`);
  config.tsa.forEach(assertAuthorityUrl);
  const own = {
    namespace: env.POD_NAMESPACE,
    name: env.POD_NAME,
    node: env.NODE_NAME,
    address: env.POD_IP,
  };
  return { ...config, pod: checked(pod, own, 'POD_NAMESPACE, POD_NAME, NODE_NAME and POD_IP of the environment') };
}

function checked<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const wrong = read.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw usage(`${what}: ${wrong.join('; ')}`, read.error);
}

function usage(message: string, cause?: unknown): ImpoundError {
  return new ImpoundError('usage', message, { operation: 'read configuration', cause });
}
