// The door of the room: what crosses a wire.

export {
  AGENT_AUDIENCE,
  type AgentCall,
  BEAT_SECONDS,
  type CallResult,
  type CaptureOrder,
  callsReply,
  callsRequest,
  type EndRequest,
  endRequest,
  grantValue,
  MAX_CALLS,
  MAX_CALLS_BYTES,
  MAX_END_BYTES,
  namesValue,
  POLL_SECONDS,
  PROBE_SECONDS,
  PROTOCOL_VERSIONS,
  type ProbedRequest,
  type ProbeOrder,
  pollReply,
  pollRequest,
  probedRequest,
  type SessionRequest,
  SILENCE_SECONDS,
  sessionReply,
  sessionRequest,
} from './agent/messages.ts';
export { type CheckedAgent, type CheckedWay, type CheckReply, checkReply } from './check.ts';
export { type FieldSchema, fieldsOf, nodeCaptureFields } from './node-capture/field-paths.ts';
export { suspectsOf } from './node-capture/suspects.ts';
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
