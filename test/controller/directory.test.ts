// A cluster without S3: the store is a folder on the controller's volume, and agents send it their bytes by the same protocol.
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after } from 'node:test';
import { DirectoryStore, readChain, records } from '../../evidence/index.ts';
import { cli } from '../helpers/cli.ts';
import { fileBed } from '../helpers/file-bed.ts';
import { fileTemporaryFolder } from '../helpers/temporary.ts';
import { IMPOUND_COMPONENTS, startImpound } from '../testbed/impound.ts';

/** More than a part takes, and incompressible: the pod's drift is an object of several parts. */
const PAYLOAD = 'head -c 40000000 /dev/urandom >/tmp/payload; exec sleep 1000000';

const folder = await fileTemporaryFolder();
const scenario = await fileBed(IMPOUND_COMPONENTS, () => startImpound({ after }, { directory: folder }));

scenario(
  'an agent’s bytes reach the volume through the controller, large objects part by part, and verify',
  async (bed) => {
    await bed.cluster.pod('victim', PAYLOAD, { node: 'node1' });
    const suspects = [{ pod: { namespace: 'default', name: 'victim' } }];
    await bed.capture('volume', { suspects, watchSeconds: 1, collectors: { skip: ['timeline', 'logs'] } });
    const { status } = await bed.untilPhase('volume', 120, 'Sealed', 'Failed');
    assert.equal(status?.phase, 'Sealed', JSON.stringify(status));
    const path = status?.bundle?.url ?? '';
    const { head } = status?.bundle ?? {};
    const words = ['verify', path, '--strict', '--key', bed.publicKey, '--head', `${head?.sequence}:${head?.sha256}`];
    const { code, stdout } = await cli(words, { home: folder });
    assert.equal(code, 0, stdout);
    const entries = await readChain(new DirectoryStore({ root: path, partial: path }));
    const parted = records(entries.map(({ statement }) => statement)).filter(({ parts = [] }) => parts.length > 1);
    assert.ok(parted.length >= 1, 'an object of several parts');
    assert.equal((await readdir(folder)).includes('.partial'), false, 'nothing half-written is left');
  },
);
