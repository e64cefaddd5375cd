// The door of the room: AWS but S3, each call behind a function named for what Impound wants of it.

export { callerIdentity } from './identity.ts';
export { isInKms, signerOf } from './signer.ts';
