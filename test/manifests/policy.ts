// What policies decide about a request, by the rules of AWS (IAM User Guide, "Policy evaluation logic", "Condition
// operators"): a refusal wins, and an operator that negates also matches a key that the request does not have.

export interface Statement {
  readonly Sid: string;
  readonly Effect: 'Allow' | 'Deny';
  readonly Principal?: unknown;
  readonly Action: string | readonly string[];
  readonly Resource: string | readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

export interface Policy {
  readonly Statement: readonly Statement[];
}

export interface Request {
  readonly action: string;
  readonly resource: string;
  /** Condition keys that the request has. */
  readonly context?: Readonly<Record<string, string>>;
}

/** The Sids of the statements that match; allowed is what one allows and none refuses. */
export function decide(policies: readonly Policy[], request: Request) {
  const matching = policies.flatMap(({ Statement }) => Statement).filter((one) => matches(one, request));
  const sids = (effect: Statement['Effect']): string[] =>
    matching.filter(({ Effect }) => Effect === effect).map(({ Sid }) => Sid);
  const [allowing, refusing] = [sids('Allow'), sids('Deny')];
  return { allowed: allowing.length > 0 && refusing.length === 0, refusing };
}

export function listOf(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value;
}

function matches(
  { Action, Resource, Condition = {} }: Statement,
  { action, resource, context = {} }: Request,
): boolean {
  return (
    listOf(Action).some((pattern) => like(action.toLowerCase(), pattern.toLowerCase())) &&
    listOf(Resource).some((pattern) => like(resource, pattern)) &&
    Object.entries(Condition).every(([operator, keys]) =>
      Object.entries(keys).every(([key, values]) => holds(operator, context[key], [values].flat().map(String))),
    )
  );
}

function holds(operator: string, actual: string | undefined, values: readonly string[]): boolean {
  switch (operator) {
    case 'Null':
      return String(actual === undefined) === values[0];
    case 'Bool':
    case 'StringEquals':
      return actual !== undefined && values.includes(actual);
    case 'StringNotEquals':
      return actual === undefined || !values.includes(actual);
    case 'StringLike':
      return actual !== undefined && values.some((pattern) => like(actual, pattern));
    case 'NumericLessThan':
      return actual !== undefined && values.some((value) => Number(actual) < Number(value));
    default:
      throw new Error(`the tests do not know the operator ${operator}`);
  }
}

/** `*` is any text and `?` any character, "/" included. */
function like(text: string, pattern: string): boolean {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 's').test(text);
}
