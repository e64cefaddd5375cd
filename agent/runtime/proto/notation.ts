// Protocol buffers written as data, from which come both the descriptor that reads the wire and the TypeScript types.

/** A field's name to its type and number: "string 1", "repeated Mount 14", "map<string, string> 5". */
export type Fields = Readonly<Record<string, string>>;

/** Messages and enumerations of one API by their short names, and its services by their full ones. */
export interface Definition {
  readonly messages: Readonly<Record<string, Fields>>;
  readonly enums: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** A method's name to what goes in and comes out: "ListRequest ListResponse", "InfoRequest stream InfoResponse". */
  readonly services: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** The well-known types that are used here (protobuf.dev, "Protocol Buffers Well-Known Types"). */
export const WELL_KNOWN = {
  Any: { type_url: 'string 1', value: 'bytes 2' },
  Empty: {},
  Timestamp: { seconds: 'int64 1', nanos: 'int32 2' },
} as const;

/**
 * A decoded message: proto3's default where a scalar was not on the wire, null for a message that was not; 64-bit
 * numbers as decimal strings, enumerations by name (a number where the name is not known), bytes as Buffers.
 */
export type Message<D extends Definition, Name> = Name extends keyof D['messages']
  ? { readonly [Field in keyof D['messages'][Name]]: FieldType<D, D['messages'][Name][Field]> }
  : never;

type FieldType<D extends Definition, Text> = Text extends `repeated ${infer Type} ${number}`
  ? readonly NonNullable<Value<D, Type>>[]
  : Text extends `map<string, ${infer Type}> ${number}`
    ? Readonly<Record<string, NonNullable<Value<D, Type>>>>
    : Text extends `${infer Type} ${number}`
      ? Value<D, Type>
      : never;

type Value<D extends Definition, Type> = Type extends 'string' | 'int64' | 'uint64'
  ? string
  : Type extends 'int32' | 'uint32' | 'double'
    ? number
    : Type extends 'bool'
      ? boolean
      : Type extends 'bytes'
        ? Buffer
        : Type extends keyof D['enums']
          ? string | number
          : Message<D, Type> | null;

/** What a method answers with. */
export type Response<D extends Definition, Text> = Text extends `${string} stream ${infer Name}`
  ? Message<D, Name>
  : Text extends `${string} ${infer Name}`
    ? Message<D, Name>
    : never;

/** Where the messages stand in the descriptor; on the wire their names do not matter, those of services do. */
const HOME = 'impound';

/** protobufjs' JSON descriptor of an API. Throws for text that is no field. */
export function descriptorOf({ messages, enums, services }: Definition): Namespace {
  const root: Namespace = { nested: {} };
  const home = { nested: {} as Record<string, unknown> };
  for (const [name, values] of Object.entries(enums)) home.nested[name] = { values };
  for (const [name, fields] of Object.entries(messages)) {
    const parsed = Object.entries(fields).map(([field, text]) => [field, fieldOf(text)]);
    home.nested[name] = { fields: Object.fromEntries(parsed) };
  }
  root.nested[HOME] = home;
  for (const [path, methods] of Object.entries(services)) {
    const names = path.split('.');
    const service = names.pop() ?? '';
    let folder = root;
    for (const name of names) {
      folder.nested[name] ??= { nested: {} };
      folder = folder.nested[name] as Namespace;
    }
    const parsed = Object.entries(methods).map(([method, text]) => [method, methodOf(text)]);
    folder.nested[service] = { methods: Object.fromEntries(parsed) };
  }
  return root;
}

export interface Namespace {
  readonly nested: Record<string, unknown>;
}

/** The short name of the message a method answers with. */
export function responseOf({ services }: Definition, service: string, method: string): string {
  return services[service]?.[method]?.split(' ').at(-1) ?? '';
}

/** A field's notation taken apart. Throws for text that is none. */
export function parseField(text: string): {
  readonly rule: 'single' | 'repeated' | 'map';
  readonly type: string;
  readonly number: number;
} {
  const [, repeated, map, type, number] = /^(repeated )?(map<string, )?(\w+)>? (\d+)$/.exec(text) ?? [];
  if (type === undefined) throw new Error(`not a field: ${text}`);
  const rule = map !== undefined ? 'map' : repeated !== undefined ? 'repeated' : 'single';
  return { rule, type, number: Number(number) };
}

function fieldOf(text: string): Record<string, unknown> {
  const { rule, type, number } = parseField(text);
  const field = { type: NAMED.test(type) ? `.${HOME}.${type}` : type, id: number };
  if (rule === 'map') return { keyType: 'string', ...field };
  return rule === 'single' ? field : { rule, ...field };
}

/** Scalars begin with a small letter. */
const NAMED = /^[A-Z]/;

function methodOf(text: string): Record<string, unknown> {
  const [, request, stream, response] = /^(\w+) (stream )?(\w+)$/.exec(text) ?? [];
  if (response === undefined) throw new Error(`not a method: ${text}`);
  return {
    requestType: `.${HOME}.${request}`,
    responseType: `.${HOME}.${response}`,
    ...(stream === undefined ? {} : { responseStream: true }),
  };
}
