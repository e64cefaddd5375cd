// Options of every verb that reads or writes a store.

import type { StoreAccess } from '../bundle.ts';
import type { Command, CommonArguments } from '../command.ts';

export type StoreArguments = CommonArguments & StoreAccess;

export const storeOptions: Command<never>['options'] = {
  endpoint: { type: 'string', describe: 'URL of a server that speaks S3; default: AWS, or $AWS_ENDPOINT_URL_S3' },
  region: { type: 'string', describe: 'Region of the bucket; default: as for the aws command' },
};

/** What a bundle's argument may be, for help. */
export const BUNDLE = 'Folder of the bundle, or s3://BUCKET/PREFIX';
