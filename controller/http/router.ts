// Which route a request's target means: segment by segment, each decoded once, nothing normalised.
import { Problem } from './problem.ts';
import type { Route } from './route.ts';

export interface Match {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

/** The route for a method and the raw path; throws a Problem: 400, 404, or 405 with `allow` in `more`. */
export type Router = (method: string, rawPath: string) => Match;

const MAX_SEGMENTS = 64;

interface Compiled {
  readonly route: Route;
  readonly segments: readonly string[];
  /** Name of what takes the rest. */
  readonly rest: string | undefined;
}

/** Throws where two routes are one, or a pattern is none. */
export function makeRouter(routes: readonly Route[]): Router {
  // literal segments before names, names before a rest
  const compiled = routes.map(compile).sort((a, b) => Number(rank(a) > rank(b)) - Number(rank(a) < rank(b)));
  const shapes = new Set<string>();
  for (const { route, segments, rest } of compiled) {
    const shape = `${route.method} ${segments.map((one) => (isName(one) ? '{}' : one)).join('/')} ${rest !== undefined}`;
    if (shapes.has(shape)) throw new Error(`two routes for ${route.method} ${route.path}`);
    shapes.add(shape);
  }
  return (method, rawPath) => {
    const raw = segmentsOf(rawPath);
    const fitting = compiled.filter((one) => fits(one, raw));
    const [best] = fitting;
    if (best === undefined) throw new Problem(404, 'not-found', 'there is nothing of this path');
    // a name does not take what stands there literally, whatever the method
    const same = fitting.filter((one) => rank(one) === rank(best));
    const found = same.find(({ route }) => route.method === method);
    if (found === undefined) {
      const allow = [...new Set(same.map(({ route }) => route.method))].sort().join(', ');
      throw new Problem(405, 'method-not-allowed', `this path takes ${allow}`, { allow });
    }
    return { route: found.route, params: paramsOf(found, raw) };
  };
}

function compile(route: Route): Compiled {
  const parts = route.path.split('/').slice(1);
  const last = /^\{(\w+)\.\.\.\}$/.exec(parts.at(-1) ?? '')?.[1];
  const segments = last === undefined ? parts : parts.slice(0, -1);
  const isPattern = route.path.startsWith('/') && segments.every((one) => isName(one) || /^[\w.-]+$/.test(one));
  if (!isPattern) throw new Error(`${route.path} is not a route's path`);
  return { route, segments, rest: last };
}

function isName(segment: string): boolean {
  return /^\{\w+\}$/.test(segment);
}

function rank({ segments, rest }: Compiled): string {
  return segments.map((one) => (isName(one) ? '1' : '0')).join('') + (rest === undefined ? '' : '2');
}

function segmentsOf(rawPath: string): readonly string[] {
  if (!rawPath.startsWith('/')) throw new Problem(400, 'request-invalid', 'a path begins with "/"');
  const raw = rawPath.slice(1).split('/');
  if (raw.length > MAX_SEGMENTS) throw new Problem(404, 'not-found', 'there is nothing of this path');
  return raw;
}

function fits({ segments, rest }: Compiled, raw: readonly string[]): boolean {
  if (rest === undefined ? raw.length !== segments.length : raw.length <= segments.length) return false;
  return segments.every((segment, index) => (isName(segment) ? raw[index] !== '' : segment === raw[index]));
}

function paramsOf({ segments, rest }: Compiled, raw: readonly string[]): Readonly<Record<string, string>> {
  const params: Record<string, string> = Object.create(null);
  segments.forEach((segment, index) => {
    if (isName(segment)) params[segment.slice(1, -1)] = decoded(raw[index] ?? '');
  });
  if (rest !== undefined) params[rest] = raw.slice(segments.length).map(decoded).join('/');
  return params;
}

/** A segment that is decoded into several, or into a step upwards, was written to deceive somebody. */
function decoded(raw: string): string {
  let text: string;
  try {
    text = decodeURIComponent(raw);
  } catch {
    throw new Problem(400, 'request-invalid', 'the path is not percent-encoded UTF-8');
  }
  if (/[\u0000-\u001f\u007f/\\]/.test(text) || text === '.' || text === '..')
    throw new Problem(
      400,
      'request-invalid',
      'a segment of the path has "/", "\\" or a control character, or is "." or ".."',
    );
  return text;
}
