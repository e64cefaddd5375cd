// What an uploader asks for, as calls to the controller.
import type { UploadGrants } from '../../evidence/index.ts';
import { type AgentCall, grantValue, namesValue } from '../../protocol/index.ts';

export function uploadGrants(ask: (call: AgentCall) => Promise<unknown>): UploadGrants {
  const names = (value: unknown) => {
    if (value === undefined) return undefined;
    const { versionId, etag } = namesValue.parse(value);
    return { ...(versionId === undefined ? {} : { versionId }), ...(etag === undefined ? {} : { etag }) };
  };
  return {
    grantObject: async (claim) => grantValue.parse(await ask({ kind: 'grant-object', ...claim })),
    beginUpload: async (path) => String(await ask({ kind: 'begin-upload', path })),
    grantPart: async (claim) => grantValue.parse(await ask({ kind: 'grant-part', ...claim })),
    completeUpload: async (path, upload, parts) =>
      names(await ask({ kind: 'complete-upload', path, upload, parts: [...parts] })) ?? {},
    finished: async (claim, versionId) =>
      names(await ask({ kind: 'finished', ...claim, ...(versionId === undefined ? {} : { versionId }) })),
    finishedUpload: () => Promise.reject(new Error('an agent asks for what it began itself')),
    finishedPart: async (claim) => (await ask({ kind: 'finished-part', ...claim })) === true,
  };
}
