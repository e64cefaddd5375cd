// The reference of NodeCapture's fields as Markdown, made of its schema. `node protocol/reference.ts`
import { type StructuralSchema, structuralSchema } from './crd.ts';
import { transitionRules } from './node-capture/spec.ts';

const HEAD = '| field | type | bounds | default | what |\n|---|---|---|---|---|\n';

/** The part of docs/node-capture.md that is made. */
export function referenceMarkdown(): string {
  const { spec, status } = structuralSchema().properties ?? {};
  if (spec === undefined || status === undefined) throw new TypeError('the schema has no spec or no status');
  const fixed = new Set(transitionRules().map(({ rule }) => rule));
  const rules = rulesOf(spec, 'spec').filter(({ rule }) => !fixed.has(rule));
  const lines = rules.map(({ path, message }) => `- \`${path}\`: ${message}\n`);
  return [
    `### spec\n\n${HEAD}${rowsOf(spec, '').join('')}`,
    `### Rules\n\n${lines.join('')}`,
    `### status\n\n${HEAD}${rowsOf(status, '').join('')}`,
  ].join('\n');
}

/** A field without a default is optional where it is not marked as required. */
function rowsOf(node: StructuralSchema, path: string): readonly string[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, field]) => {
    const required = node.required?.includes(name) ? ' (required)' : '';
    const place = `${path}${name}`;
    const inner = field.items ?? field;
    const below = rowsOf(inner, `${place}${field.items === undefined ? '' : '[]'}.`);
    const shown = field.default === undefined ? '' : `\`${JSON.stringify(field.default)}\``;
    const cells = [`\`${place}\`${required}`, typeOf(field), boundsOf(field), shown, field.description ?? ''];
    return [`| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`, ...below];
  });
}

function typeOf({ type, items, format }: StructuralSchema): string {
  if (items !== undefined) return `list of ${items.type}s`;
  return format === 'date-time' ? 'time' : type;
}

function boundsOf(field: StructuralSchema): string {
  const { minLength = 0, maxLength, minimum, maximum, minItems = 0, maxItems, items } = field;
  const parts: string[] = [];
  if (field.enum !== undefined) parts.push(field.enum.map((value) => `\`${value}\``).join(', '));
  if (minimum !== undefined && maximum !== undefined) parts.push(`${minimum} to ${maximum}`);
  if (maxLength !== undefined) parts.push(`${range(minLength, maxLength)} characters`);
  if (maxItems !== undefined) parts.push(`${range(minItems, maxItems)} items`);
  if (items?.maxLength !== undefined) parts.push(`each of ${range(items.minLength ?? 0, items.maxLength)} characters`);
  return parts.join('; ');
}

const range = (min: number, max: number): string => (min === max ? `${max}` : `${min} to ${max}`);

interface PlacedRule {
  readonly path: string;
  readonly rule: string;
  readonly message: string;
}

function rulesOf(node: StructuralSchema, path: string): readonly PlacedRule[] {
  const own = (node['x-kubernetes-validations'] ?? []).map(({ rule, message }) => ({ path, rule, message }));
  const below = Object.entries(node.properties ?? {}).flatMap(([name, field]) => rulesOf(field, `${path}.${name}`));
  return [...own, ...below, ...(node.items === undefined ? [] : rulesOf(node.items, `${path}[]`))];
}

if (import.meta.main) process.stdout.write(referenceMarkdown());
