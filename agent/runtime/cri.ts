// The Container Runtime Interface: what a kubelet is told of pods, containers and images.
import { type Grpc, openGrpc } from './grpc.ts';
import { CRI } from './proto/cri.ts';
import type { Message } from './proto/notation.ts';

export type Cri = Grpc<typeof CRI>;
export type CriMessage<Name extends keyof typeof CRI.messages> = Message<typeof CRI, Name>;

export const RUNTIME = 'runtime.v1.RuntimeService';
export const IMAGES = 'runtime.v1.ImageService';

/** Throws where there is no socket at the path. */
export function openCri(socket: string): Promise<Cri> {
  return openGrpc(socket, CRI);
}
