// The door of the room: what crosses a wire.

export {
  FINALIZER,
  type NodeCapture,
  type NodeCaptureCondition,
  type NodeCapturePhase,
  type NodeCaptureRequest,
  type NodeCaptureSpec,
  type NodeCaptureStatus,
  parseNodeCapture,
  parseNodeCaptureSpec,
  parseNodeCaptureStatus,
} from './node-capture.ts';
