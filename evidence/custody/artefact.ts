// One artefact on its way into a store, encrypted where somebody is named who shall read it, and the record made of it.
import { ImpoundError } from '../errors.ts';
import { ENCRYPTED, sessionPath } from '../format/layout.ts';
import type { ArtefactRecord } from '../format/record.ts';
import type { Clock } from '../ports.ts';
import type { ObjectWriter, Store } from '../store/store.ts';
import type { AgeEncryptor } from '../stream/age/encrypt.ts';
import type { AgeRecipient } from '../stream/age/recipients.ts';
import { type Sha256Stream, sha256Stream } from '../stream/hash.ts';
import type { ArtefactEnd, ArtefactSpec, ArtefactWriter } from './custodian.ts';

/** What a bundle says of itself is for everybody who may list it. */
const META = 'data/00-meta/';

export interface ArtefactOptions {
  readonly store: Pick<Store, 'create'>;
  readonly clock: Clock;
  /** Whom artefacts are encrypted to, all but those below 00-meta; nobody where there is none. */
  readonly recipients?: readonly AgeRecipient[];
  /** Shown the stored bytes of an artefact as they were before encryption, where it gives something to show them to. */
  readonly show?: (path: string) => ((chunk: Uint8Array) => void) | undefined;
}

export interface ArtefactSink extends ArtefactOptions {
  /** Called before an artefact is made visible: throws where it could not be named any more. */
  readonly mayStore: () => void;
  /** Called with what was stored, to be put on the chain. */
  readonly stored: (record: ArtefactRecord) => Promise<void>;
}

/** An artefact while it is written. */
interface Open {
  readonly object: ObjectWriter;
  readonly spec: ArtefactSpec;
  readonly begun: string;
  readonly secret: { readonly encryptor: AgeEncryptor; readonly plain: Sha256Stream } | undefined;
}

export async function openArtefact(sink: ArtefactSink, spec: ArtefactSpec): Promise<ArtefactWriter> {
  const plainPath = sessionPath(spec.path, spec.session);
  const secret = await secretOf(sink, plainPath);
  const path = secret === undefined ? plainPath : `${plainPath}${ENCRYPTED}`;
  const object = await sink.store.create(path);
  const open: Open = { object, spec: { ...spec, path }, begun: sink.clock.now().toISOString(), secret };
  if (secret !== undefined) await object.write(secret.encryptor.header);
  const show = sink.show?.(plainPath);
  return {
    write: (chunk) => {
      show?.(chunk);
      return write(sink, open, chunk);
    },
    close: (end) => close(sink, open, end, true),
  };
}

async function secretOf({ recipients = [] }: ArtefactOptions, path: string): Promise<Open['secret']> {
  if (recipients.length === 0 || path.startsWith(META)) return undefined;
  const { ageEncryptor } = await import('../stream/age/encrypt.ts');
  return { encryptor: await ageEncryptor(recipients), plain: sha256Stream() };
}

async function write(sink: ArtefactSink, open: Open, chunk: Uint8Array): Promise<void> {
  const { object, secret } = open;
  try {
    if (secret === undefined) return await object.write(chunk);
    await secret.plain.update(chunk);
    for (const piece of secret.encryptor.update(chunk)) await object.write(piece);
  } catch (error) {
    if (error instanceof ImpoundError && error.code === 'store-full') {
      await close(sink, open, { truncated: 'the store was full' }, false);
    }
    throw error;
  }
}

/** Without `ended` an encrypted artefact is left as it is: there is no room for its end. */
async function close(sink: ArtefactSink, open: Open, end: ArtefactEnd, ended: boolean): Promise<ArtefactRecord> {
  const { object, spec, begun, secret } = open;
  if (ended && secret !== undefined) await object.write(secret.encryptor.end());
  const plainSha256 = await secret?.plain.hex();
  sink.mayStore();
  const stored = await object.commit();
  const record: ArtefactRecord = {
    path: spec.path,
    ...stored,
    collector: spec.collector,
    session: spec.session,
    source: spec.source,
    begun,
    ended: sink.clock.now().toISOString(),
    ...(plainSha256 === undefined ? {} : { plainSha256 }),
    ...end,
  };
  await sink.stored(record);
  return record;
}
