// Options of every verb that reads or writes a store, and of those that say how it shall keep what is written.

import type { StoreAccess } from '../bundle.ts';
import type { Command, CommonArguments } from '../command.ts';

export type StoreArguments = CommonArguments & StoreAccess;

export const storeOptions: Command<never>['options'] = {
  endpoint: { type: 'string', describe: 'URL of a server that speaks S3; default: AWS, or $AWS_ENDPOINT_URL_S3' },
  region: { type: 'string', describe: 'Region of the bucket; default: as for the aws command' },
};

/** Read by `protectionOf` in cli/protection.ts. */
export interface ProtectionArguments {
  readonly retain?: number;
  readonly lockMode: 'COMPLIANCE' | 'GOVERNANCE';
  readonly legalHold: boolean;
  readonly sseKms?: string;
}

export const protectionOptions: Command<never>['options'] = {
  retain: { type: 'number', describe: 'Days for which S3 lets nobody remove what is stored (Object Lock)' },
  'lock-mode': {
    choices: ['COMPLIANCE', 'GOVERNANCE'],
    default: 'COMPLIANCE',
    describe: 'Nobody at all, or nobody without the permission to bypass',
  },
  'legal-hold': { type: 'boolean', default: false, describe: 'Also held until somebody lifts that (Object Lock)' },
  'sse-kms': { type: 'string', describe: 'KMS key with which S3 encrypts; default: as the bucket does' },
};

/** What a bundle's argument may be, for help. */
export const BUNDLE = 'Folder of the bundle, or s3://BUCKET/PREFIX';

/** Of verbs that also read through the controller of a cluster. */
export const BUNDLE_OR_CAPTURE = `${BUNDLE}; or the name of a capture of the cluster`;
