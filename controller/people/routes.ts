// The API for people, /v1/*: which captures there are, the record that somebody reads a bundle, and its objects.
import { z } from 'zod';
import { isBundlePath, type Logger, type Store } from '../../evidence/index.ts';
import type { NodeCapture } from '../../protocol/index.ts';
import type { Identities, PersonIdentity } from '../http/identity.ts';
import { Problem } from '../http/problem.ts';
import type { Call, Route } from '../http/route.ts';
import { bundleViews } from './bundle-view.ts';
import type { PeoplesCaptures } from './captures.ts';
import { listObjects, type ObjectReader, objectReader } from './objects.ts';
import { assertMay } from './rights.ts';

export interface PeopleOptions {
  readonly identities: Identities;
  readonly captures: PeoplesCaptures;
  /** Told who reads what. */
  readonly log: Logger;
}

const NAME = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;
const MAX_PURPOSE = 1024;
const MAX_PATHS = 64;

const accessBody = z.strictObject({
  purpose: z
    .string()
    .trim()
    .min(1)
    .max(MAX_PURPOSE)
    .regex(/^[^\u0000-\u001f\u007f]*$/, { error: 'control characters have no place in it' }),
  paths: z
    .array(
      z.string().refine((path) => isBundlePath(path) && path.startsWith('data/'), { error: 'give paths below data/' }),
    )
    .min(1)
    .max(MAX_PATHS)
    .optional(),
});

/** What a person has asked for, once they may have it. */
interface Granted {
  readonly person: PersonIdentity;
  readonly capture: NodeCapture;
}

export function peopleRoutes(options: PeopleOptions): readonly Route[] {
  const { captures } = options;
  const views = bundleViews();
  const reader: ObjectReader = objectReader({ views, log: options.log });
  return [
    {
      ...{ method: 'GET', path: '/v1/captures', name: 'list captures' },
      async handle(call) {
        const person = await options.identities.person(call.token);
        await assertMay(options.identities, person, 'list');
        const items = captures.list().toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
        return { json: { items: items.map(shown) } };
      },
    },
    {
      ...{ method: 'GET', path: '/v1/captures/{name}', name: 'get capture' },
      async handle(call) {
        const { capture } = await granted(options, call, undefined);
        return { json: shown(capture) };
      },
    },
    {
      ...{ method: 'POST', path: '/v1/captures/{name}/access', name: 'record access' },
      async handle(call) {
        const { person, capture } = await granted(options, call, 'bundle');
        const { purpose, paths } = await call.json(accessBody);
        const store = await storeOf(captures, capture);
        const details = { purpose, ...(paths === undefined ? {} : { paths }) };
        const { sequence, sha256 } = await captures.recordAccess(capture, person, details);
        views.forget(store);
        return { status: 201, json: { person: person.username, sequence, sha256 } };
      },
    },
    {
      ...{ method: 'GET', path: '/v1/captures/{name}/objects', name: 'list objects' },
      async handle(call) {
        const { capture } = await granted(options, call, 'bundle');
        return listObjects(await storeOf(captures, capture), call);
      },
    },
    {
      ...{ method: 'GET', path: '/v1/captures/{name}/objects/{path...}', name: 'read object' },
      async handle(call) {
        const path = call.params.path ?? '';
        if (!isBundlePath(path))
          throw new Problem(400, 'request-invalid', 'this is not the path of an object of a bundle');
        const { person, capture } = await granted(options, call, 'bundle');
        return reader({ store: await storeOf(captures, capture), person, capture: capture.metadata.name, path, call });
      },
    },
  ];
}

/** Whether there is such a capture is said only to those who may know. */
async function granted(options: PeopleOptions, call: Call, subresource: 'bundle' | undefined): Promise<Granted> {
  const person = await options.identities.person(call.token);
  const { name = '' } = call.params;
  if (!NAME.test(name)) throw new Problem(400, 'request-invalid', 'this is not the name of a capture');
  await assertMay(options.identities, person, 'get', subresource, name);
  const capture = options.captures.find(name);
  if (capture === undefined) throw new Problem(404, 'not-found', `there is no capture ${name}`);
  return { person, capture };
}

async function storeOf(captures: PeoplesCaptures, capture: NodeCapture): Promise<Store> {
  const store = await captures.store(capture);
  if (store !== undefined) return store;
  throw new Problem(404, 'not-found', `${capture.metadata.name} has no bundle yet`);
}

/** Without what only the API server's own bookkeeping needs. */
function shown({ metadata, ...rest }: NodeCapture): object {
  const { managedFields: _, ...kept } = metadata as Readonly<Record<string, unknown>>;
  return { ...rest, metadata: kept };
}
