// Where probes lie: in the controller's own store, without the locks that evidence has, as far as the bucket lets that be.
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseS3Url } from '../../evidence/index.ts';
import { openStore } from '../captures/stores.ts';
import type { ControllerConfig } from '../config.ts';
import type { AgentDesk } from './desk.ts';
import { Probes } from './probes.ts';

export async function openProbes(config: ControllerConfig, desk: AgentDesk, secret: Buffer): Promise<Probes> {
  const { retention: _retention, legalHold: _legalHold, ...unlocked } = config.store;
  const isDirectory = parseS3Url(config.store.url) === undefined;
  return new Probes({
    store: await openStore({ ...config, store: unlocked }),
    desk,
    receiver: (id) => ({ url: `${config.service ?? ''}/agent/v1/bytes/${id}`, secret }),
    // in S3 who stores evidence may remove nothing
    async tidy(folder) {
      if (isDirectory) await rm(join(resolve(config.store.url), folder), { recursive: true, force: true });
    },
  });
}
