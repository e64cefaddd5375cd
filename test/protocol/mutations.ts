// Of a schema and an object that has all of its fields: each bound as objects on it, and past it by one.
import type { StructuralSchema } from '../../protocol/crd.ts';

export interface Mutation {
  readonly title: string;
  readonly value: object;
  readonly accepted: boolean;
}

type Path = readonly (string | number)[];
/** null is as good as missing where a field may be missing. */
type Visit = (node: StructuralSchema, value: unknown, path: Path, mayBeMissing: boolean) => void;

/** What is made by hand, since a pattern or a uniqueness wants it: `text` of n characters, `items` of n items. */
export interface Fillers {
  /** Fields that the object cannot have beside its others. */
  readonly elsewhere: readonly string[];
  /** Fields that may be missing by themselves, but not here: a rule wants them beside the others. */
  readonly needed: readonly string[];
  text(path: string, length: number): string;
  item(path: string, index: number): unknown;
}

export function mutations(schema: StructuralSchema, whole: object, fillers: Fillers): readonly Mutation[] {
  const found: Mutation[] = [];
  const visit: Visit = (node, value, path, mayBeMissing) => {
    const name = path.filter((part) => typeof part === 'string').join('.');
    const add = (accepted: boolean, what: string, changed: unknown): void => {
      const title = `${name === '' ? 'all of it' : name}: ${what}`;
      found.push({ title, value: replaced(whole, path, changed) as object, accepted });
    };
    if (path.length > 0) add(false, 'of another type', node.type === 'string' ? 7 : 'text');
    if (path.length > 0) add(mayBeMissing && !fillers.needed.includes(name), 'null', null);
    for (const [accepted, what, changed] of atBounds(node, name, fillers)) add(accepted, what, changed);
    for (const required of node.required ?? []) add(false, `without ${required}`, without(value, required));
    for (const [key, child] of Object.entries(node.properties ?? {})) {
      if (fillers.elsewhere.includes(`${name}.${key}`)) continue;
      if (!isObject(value) || value[key] === undefined) throw new Error(`${name} lacks ${key}`);
      visit(child, value[key], [...path, key], !(node.required?.includes(key) ?? false));
    }
    if (node.items !== undefined && Array.isArray(value)) visitItems(node.items, value, path, visit);
  };
  visit(schema, whole, [], false);
  return found;
}

/** Items may have one field each of those that there are: each field is taken from an item that has it. */
function visitItems(items: StructuralSchema, value: readonly unknown[], path: Path, visit: Visit): void {
  if (items.properties === undefined) {
    visit(items, value[0], [...path, 0], false);
    return;
  }
  for (const [index, item] of value.entries()) {
    const has = Object.entries(items.properties).filter(([key]) => isObject(item) && item[key] !== undefined);
    visit({ ...items, properties: Object.fromEntries(has) }, item, [...path, index], false);
  }
}

function* atBounds(
  node: StructuralSchema,
  name: string,
  { text, item }: Fillers,
): Generator<readonly [accepted: boolean, what: string, changed: unknown]> {
  const list = (length: number): unknown[] => Array.from({ length }, (_, index) => item(name, index));
  const { minLength, maxLength, minimum, maximum, minItems, maxItems } = node;
  if (maxLength !== undefined) yield [true, `${maxLength} characters`, text(name, maxLength)];
  if (maxLength !== undefined) yield [false, `${maxLength + 1} characters`, text(name, maxLength + 1)];
  if (minLength !== undefined) yield [true, `${minLength} characters`, text(name, minLength)];
  if (minLength !== undefined) yield [false, `${minLength - 1} characters`, text(name, minLength - 1)];
  if (maximum !== undefined) yield [true, `${maximum}`, maximum];
  if (maximum !== undefined) yield [false, `${maximum + 1}`, maximum + 1];
  if (minimum !== undefined) yield [true, `${minimum}`, minimum];
  if (minimum !== undefined) yield [false, `${minimum - 1}`, minimum - 1];
  if (node.type === 'integer') yield [false, 'half a one', (minimum ?? 0) + 0.5];
  if (maxItems !== undefined) yield [true, `${maxItems} items`, list(maxItems)];
  if (maxItems !== undefined) yield [false, `${maxItems + 1} items`, list(maxItems + 1)];
  if (minItems !== undefined) yield [false, `${minItems - 1} items`, list(minItems - 1)];
  if (node.enum !== undefined) yield [false, 'another word', node.type === 'boolean' ? false : 'another'];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function without(value: unknown, key: string): object {
  return Object.fromEntries(Object.entries(value as object).filter(([name]) => name !== key));
}

function replaced(value: unknown, [first, ...rest]: Path, changed: unknown): unknown {
  if (first === undefined) return changed;
  if (Array.isArray(value)) return value.map((item, index) => (index === first ? replaced(item, rest, changed) : item));
  const object = value as Record<string, unknown>;
  return { ...object, [first]: replaced(object[first], rest, changed) };
}
