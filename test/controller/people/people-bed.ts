// The people's API served on a real server, with real tokens, over bundles in a folder and in S3.
import { after } from 'node:test';
import { Problem } from '../../../controller/http/problem.ts';
import { startServer } from '../../../controller/http/server.ts';
import type { PeoplesCaptures } from '../../../controller/people/captures.ts';
import { peopleRoutes } from '../../../controller/people/routes.ts';
import { ChainWriter, type Logger, readChain, type Signer, type Store, systemClock } from '../../../evidence/index.ts';
import { type NodeCapture, parseNodeCapture } from '../../../protocol/index.ts';
import { artefact, collector, makeBundle, newSigner, sampleCollectors } from '../../helpers/bundle.ts';
import { captureInto, EVIDENCE, s3StoreOf } from '../../helpers/s3.ts';
import { fileTemporaryFolder } from '../../helpers/temporary.ts';
import { LEAST } from '../../protocol/samples.ts';
import { type S3, startS3 } from '../../testbed/s3.ts';
import { type Client, clientOf, selfSigned } from '../http/certificates.ts';
import { type Asking, asking, type IdentityBed, startIdentityBed } from '../http/identity-bed.ts';

/** Bytes that differ everywhere, so that a range that is off by one is seen. */
export const BIG = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7919) % 251));
export const BIG_PATH = 'data/60-file/big.bin';

const collectors = [
  ...sampleCollectors,
  collector('big', async function* () {
    yield artefact('60-file/big.bin', BIG);
    // more than the buffers between two processes hold
    yield artefact('60-file/large.bin', Buffer.alloc(24 * 1024 * 1024));
  }),
];

export interface PeopleBed {
  readonly bed: IdentityBed;
  readonly who: Asking;
  readonly client: Client;
  /** Of the captures "folder" and "bucket"; "pending" has none. */
  readonly stores: ReadonlyMap<string, Store>;
  readonly logged: string[];
  readonly s3: S3;
  /** Whether this replica leads. */
  lead(leads: boolean): void;
}

export async function startPeopleBed(): Promise<PeopleBed> {
  const folder = await fileTemporaryFolder();
  const [bed, s3, { store }, tls] = await Promise.all([
    startIdentityBed(),
    startS3({ after }),
    makeBundle(folder, collectors),
    selfSigned(folder, 'server'),
  ]);
  await s3.makeBucket({ name: EVIDENCE, versioning: true });
  const signer = newSigner();
  await captureInto({ store: s3StoreOf(s3, 'bundle'), collectors, signer });
  // another instance than the one that wrote it, as after a restart
  const stores = new Map<string, Store>([
    ['folder', store],
    ['bucket', s3StoreOf(s3, 'bundle')],
  ]);
  const made: NodeCapture[] = [];
  for (const name of ['pending', 'folder', 'bucket']) {
    const spec = { ...LEAST, requestedBy: 'admin' };
    const object = { apiVersion: 'impound.dev/v1alpha1', kind: 'NodeCapture', metadata: { name }, spec };
    made.push(parseNodeCapture(await bed.cluster.api('POST', '/apis/impound.dev/v1alpha1/nodecaptures', object)));
  }
  let leads = true;
  const captures: PeoplesCaptures = {
    list: () => made,
    find: (name) => made.find(({ metadata }) => metadata.name === name),
    store: async ({ metadata }) => stores.get(metadata.name),
    async recordAccess({ metadata }, { username }, details) {
      if (!leads) throw new Problem(421, 'not-leader', 'another replica leads', { leader: 'https://10.0.0.1:8443' });
      const chain = await chainOf(stores.get(metadata.name) ?? store, signer);
      return chain.append('access', details, { actor: { kind: 'person', name: username } });
    },
  };
  const logged: string[] = [];
  const keep = (message: string, fields = {}): void => void logged.push(`${message} ${JSON.stringify(fields)}`);
  const log: Logger = { debug: keep, info: keep, warn: keep, error: keep };
  const who = asking(bed);
  const routes = peopleRoutes({ identities: who, captures, log });
  const server = await startServer({ routes, tls, host: '127.0.0.1', port: 0, log });
  const client = await clientOf(server.port, tls.cert);
  after(async () => {
    client.close();
    await server.close(0);
  });
  const lead = (yes: boolean): void => {
    leads = yes;
  };
  return { bed, who, client, stores, logged, s3, lead };
}

async function chainOf(store: Store, signer: Signer): Promise<ChainWriter> {
  const entries = await readChain(store);
  const bundle = entries[0]?.statement.predicate.bundle ?? '';
  const actor = { kind: 'controller', name: 'impound-controller' } as const;
  return new ChainWriter({ store, bundle, signer, actor, clock: systemClock, entries });
}
