// CloudFormation templates as AWS would see them: read by cfn-lint's own reader, then resolved with given parameters.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirectory, pythonEnvironment } from '../testbed/components.ts';

/** What `needs` is told for a test that reads templates. */
export const TEMPLATE_COMPONENTS = ['cfn-lint'] as const;

export const TEMPLATES = ['evidence-bucket', 'signing-key', 'access-policies'] as const;
export type TemplateName = (typeof TEMPLATES)[number];

export const ACCOUNT = '111122223333';
export const REGION = 'eu-central-1';

export interface Resource {
  readonly Type: string;
  readonly Condition?: string;
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
  readonly Properties: Readonly<Record<string, unknown>>;
}

interface Template {
  readonly Parameters: Readonly<Record<string, { readonly Default?: unknown }>>;
  readonly Conditions?: Readonly<Record<string, unknown>>;
  readonly Resources: Readonly<Record<string, Resource>>;
}

export function templateFile(name: TemplateName): string {
  return join(import.meta.dirname, '../../manifests/aws', `${name}.yaml`);
}

/** The resources that would be made. An attribute `Arn` is `arn:of:<logical name>`, a reference the logical name. */
export async function resources(
  name: TemplateName,
  parameters: Readonly<Record<string, unknown>> = {},
): Promise<Readonly<Record<string, Resource>>> {
  const { Parameters, Conditions = {}, Resources } = await read(name);
  const defaults = Object.entries(Parameters).map(([key, { Default }]) => [key, Default]);
  const names = new Map<string, unknown>([
    ['AWS::Partition', 'aws'],
    ['AWS::AccountId', ACCOUNT],
    ['AWS::Region', REGION],
    ['AWS::URLSuffix', 'amazonaws.com'],
    ...Object.keys(Resources).map((key) => [key, key] as const),
    ...(defaults as [string, unknown][]),
    ...Object.entries(parameters),
  ]);
  const resolver = new Resolver(names, Conditions);
  const made = Object.entries(Resources).filter(([, { Condition }]) => !Condition || resolver.holds(Condition));
  return Object.fromEntries(made.map(([key, value]) => [key, resolver.resolve(value) as Resource]));
}

/** Below the resource's properties: "LifecycleConfiguration.Rules.0". Undefined where it is not set. */
export function property(resource: Resource | undefined, path: string): unknown {
  let value: unknown = resource?.Properties;
  for (const key of path.split('.')) value = (value as Readonly<Record<string, unknown>> | undefined)?.[key];
  return value;
}

async function read(name: TemplateName): Promise<Template> {
  const program = 'import json, sys; from cfnlint.decode import decode; json.dump(decode(sys.argv[1])[0], sys.stdout)';
  const python = join(pythonEnvironment(cacheDirectory()), 'bin', 'python3');
  const { stdout } = await promisify(execFile)(python, ['-c', program, templateFile(name)]);
  return JSON.parse(stdout) as Template;
}

class Resolver {
  readonly #names: ReadonlyMap<string, unknown>;
  readonly #conditions: Readonly<Record<string, unknown>>;

  constructor(names: ReadonlyMap<string, unknown>, conditions: Readonly<Record<string, unknown>>) {
    this.#names = names;
    this.#conditions = conditions;
  }

  holds(condition: string): boolean {
    return this.resolve(this.#conditions[condition]) === true;
  }

  /** Undefined for what AWS::NoValue takes away. */
  resolve(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((item) => this.resolve(item)).filter((item) => item !== undefined);
    if (typeof value !== 'object' || value === null) return value;
    const entries = Object.entries(value);
    const [[name, argument] = ['', undefined]] = entries;
    if (entries.length === 1 && (name === 'Ref' || name.startsWith('Fn::'))) return this.#call(name, argument);
    const resolved = entries.map(([key, item]) => [key, this.resolve(item)] as const);
    return Object.fromEntries(resolved.filter(([, item]) => item !== undefined));
  }

  #call(name: string, argument: unknown): unknown {
    const items = Array.isArray(argument) ? argument : [argument];
    switch (name) {
      case 'Ref':
        return this.#named(String(argument));
      case 'Fn::GetAtt':
        return this.#named(items.join('.'));
      case 'Fn::Sub':
        return String(argument).replaceAll(/\$\{([^}]+)\}/g, (_, key: string) => String(this.#named(key)));
      case 'Fn::If':
        return this.resolve(this.holds(String(items[0])) ? items[1] : items[2]);
      case 'Fn::Equals':
        return this.resolve(items[0]) === this.resolve(items[1]);
      case 'Fn::Not':
        return this.resolve(items[0]) !== true;
      default:
        throw new Error(`the tests do not know ${name}`);
    }
  }

  #named(name: string): unknown {
    if (name === 'AWS::NoValue') return undefined;
    const [logical = '', attribute] = name.split('.');
    if (!this.#names.has(logical)) throw new Error(`nothing in the template is named ${name}`);
    return attribute === 'Arn' ? `arn:of:${logical}` : this.#names.get(logical);
  }
}
