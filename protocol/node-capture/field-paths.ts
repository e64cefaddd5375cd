// The fields of a NodeCapture as this version knows them, and as a schema has them: "spec.suspects[].pod.name".
import { z } from 'zod';
import { nodeCaptureSpec } from './spec.ts';
import { nodeCaptureStatus } from './status.ts';

/** OpenAPI v3, as far as it is of interest here. */
export interface FieldSchema {
  readonly properties?: Readonly<Record<string, FieldSchema>>;
  readonly items?: FieldSchema;
}

export function nodeCaptureFields(): readonly string[] {
  const made = (schema: z.ZodType): FieldSchema =>
    z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input', reused: 'inline' }) as FieldSchema;
  return fieldsOf({ properties: { spec: made(nodeCaptureSpec), status: made(nodeCaptureStatus) } });
}

export function fieldsOf({ properties = {}, items }: FieldSchema, path = ''): readonly string[] {
  const own = Object.entries(properties).flatMap(([name, schema]) => {
    const field = path === '' ? name : `${path}.${name}`;
    return [field, ...fieldsOf(schema, field)];
  });
  return items === undefined ? own : [...own, ...fieldsOf(items, `${path}[]`)];
}
