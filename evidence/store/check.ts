// What is tried on a store before evidence is trusted to it: the shape of a check and of its result, and how they run.
import { ImpoundError } from '../errors.ts';

export type Outcome = 'ok' | 'failed' | 'warning' | 'skipped';

/** What one check found; `remedy` says what a person must do. */
export interface CheckFinding {
  readonly outcome: Outcome;
  readonly seen: string;
  readonly remedy?: string;
}

export interface CheckResult extends CheckFinding {
  readonly name: string;
  readonly tried: string;
  /** Evidence cannot do without it: where it fails, the store is refused. */
  readonly needed: boolean;
}

export interface StoreCheck {
  readonly store: string;
  readonly verdict: 'suitable' | 'unsuitable' | 'could not be checked';
  readonly checks: readonly CheckResult[];
  /** What the check itself leaves in the store. */
  readonly left: readonly string[];
  /** Why the store is refused, where it is. */
  readonly refusal?: { readonly code: 'store-unsuitable' | 'store-unreachable'; readonly message: string };
}

export interface Check<Context> {
  readonly name: string;
  readonly tried: string;
  readonly needed: boolean;
  /** Checks without which this one says nothing. */
  readonly after?: readonly string[];
  /** A failure that it throws is told by `explain`. */
  readonly run: (context: Context) => Promise<CheckFinding>;
}

export interface CheckPlan<Context> {
  readonly store: string;
  readonly checks: readonly Check<Context>[];
  readonly context: Context;
  readonly explain: (error: unknown) => CheckFinding;
  /** Asked at the end. */
  readonly left: () => readonly string[];
}

export const ok = (seen: string): CheckFinding => ({ outcome: 'ok', seen });
export const failed = (seen: string, remedy: string): CheckFinding => ({ outcome: 'failed', seen, remedy });
export const warning = (seen: string, remedy: string): CheckFinding => ({ outcome: 'warning', seen, remedy });
export const skipped = (seen: string): CheckFinding => ({ outcome: 'skipped', seen });

/** One after the other. A store that does not answer (`store-unreachable`) ends it. */
export async function runChecks<Context>(plan: CheckPlan<Context>): Promise<StoreCheck> {
  const results: CheckResult[] = [];
  let silent = false;
  for (const { name, tried, needed, after = [], run } of plan.checks) {
    const wanting = results.find((one) => after.includes(one.name) && !isHad(one));
    const find = async (): Promise<CheckFinding> => {
      if (silent) return skipped('not tried: the store does not answer');
      if (wanting !== undefined) return skipped(`not tried: "${wanting.name}" comes first`);
      try {
        return await run(plan.context);
      } catch (error) {
        silent = error instanceof ImpoundError && error.code === 'store-unreachable';
        return plan.explain(error);
      }
    };
    const found = await find();
    const outcome = found.outcome === 'failed' && !needed && !silent ? 'warning' : found.outcome;
    results.push({ name, tried, needed, ...found, outcome });
  }
  return { store: plan.store, checks: results, left: plan.left(), ...verdictOf(plan.store, results, silent) };
}

function isHad({ outcome }: CheckResult): boolean {
  return outcome === 'ok' || outcome === 'warning';
}

function verdictOf(
  store: string,
  results: readonly CheckResult[],
  silent: boolean,
): Pick<StoreCheck, 'verdict' | 'refusal'> {
  const wrong = results.filter(({ needed, outcome }) => needed && outcome === 'failed').map(({ name }) => name);
  if (silent) {
    const message = `${store} could not be checked: it does not answer`;
    return { verdict: 'could not be checked', refusal: { code: 'store-unreachable', message } };
  }
  if (wrong.length === 0) return { verdict: 'suitable' };
  const message = `${store} cannot take evidence as it is: ${wrong.join(', ')}`;
  return { verdict: 'unsuitable', refusal: { code: 'store-unsuitable', message } };
}
