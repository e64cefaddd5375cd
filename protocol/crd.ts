// NodeCapture's CustomResourceDefinition, made of its schema. `node protocol/crd.ts > manifests/base/crd.yaml`
import { stringify } from 'yaml';
import { z } from 'zod';
import { nodeCaptureSpec, transitionRules } from './node-capture/spec.ts';
import { nodeCaptureStatus } from './node-capture/status.ts';
import { GROUP, KIND, MAX_NAME, PLURAL, VERSION } from './node-capture.ts';

/** OpenAPI v3 as structural schemas have it (Kubernetes, "Specifying a structural schema"). */
export interface StructuralSchema {
  readonly type: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, StructuralSchema>>;
  readonly required?: readonly string[];
  readonly items?: StructuralSchema;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly format?: string;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly 'x-kubernetes-validations'?: readonly { readonly rule: string; readonly message: string }[];
}

const COLUMNS = [
  { name: 'Node', type: 'string', jsonPath: '.spec.node' },
  { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
  { name: 'Artefacts', type: 'integer', jsonPath: '.status.artefacts' },
  { name: 'Bytes', type: 'integer', jsonPath: '.status.bytes' },
  { name: 'Gaps', type: 'integer', jsonPath: '.status.gaps' },
  { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  { name: 'Case', type: 'string', priority: 1, jsonPath: '.spec.case' },
  { name: 'Requested-By', type: 'string', priority: 1, jsonPath: '.spec.requestedBy' },
  { name: 'Reason', type: 'string', priority: 1, jsonPath: '.spec.reason' },
];

export function structuralSchema(): StructuralSchema {
  const spec = structural(nodeCaptureSpec);
  const rules = [...(spec['x-kubernetes-validations'] ?? []), ...transitionRules()];
  return {
    description: 'A capture of one node: its evidence, in one sealed bundle.',
    type: 'object',
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object', properties: { name: { type: 'string', maxLength: MAX_NAME } } },
      spec: { ...spec, 'x-kubernetes-validations': rules },
      status: structural(nodeCaptureStatus),
    },
  };
}

export function customResourceDefinition(): object {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${PLURAL}.${GROUP}`, labels: { 'app.kubernetes.io/part-of': 'impound' } },
    spec: {
      group: GROUP,
      scope: 'Cluster',
      names: {
        kind: KIND,
        listKind: `${KIND}List`,
        plural: PLURAL,
        singular: KIND.toLowerCase(),
        shortNames: ['ncap'],
        categories: ['impound'],
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: structuralSchema() },
          subresources: { status: {} },
          selectableFields: [{ jsonPath: '.spec.node' }],
          additionalPrinterColumns: COLUMNS,
        },
      ],
    },
  };
}

/** The file manifests/base/crd.yaml. */
export function crdYaml(): string {
  const yaml = stringify(customResourceDefinition(), { lineWidth: 0, aliasDuplicateObjects: false });
  return `# Made of the schema in protocol/ by: node protocol/crd.ts > manifests/base/crd.yaml\n${yaml}`;
}

/** What zod says of unknown fields, the API server has of itself: they are pruned, or refused on request. */
function structural(schema: z.ZodType): StructuralSchema {
  const made = z.toJSONSchema(schema, {
    target: 'openapi-3.0',
    io: 'input',
    reused: 'inline',
    override: ({ jsonSchema }) => {
      delete jsonSchema.additionalProperties;
    },
  });
  return made as unknown as StructuralSchema;
}

if (import.meta.main) process.stdout.write(crdYaml());
