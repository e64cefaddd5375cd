// Says where people look what becomes of a capture.
import type { NodeCapture } from '../protocol/index.ts';

/** As a Kubernetes event of the capture and of its node; it never fails anything. */
export type Tell = (capture: NodeCapture, type: 'Normal' | 'Warning', reason: string, message: string) => void;
