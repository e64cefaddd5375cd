// The door of the room: how any capture runs.
export {
  type Artefact,
  type CollectContext,
  type Collector,
  type GapReport,
  gap,
  type Limits,
  type Need,
  type Phase,
} from './collector.ts';
export { type CaptureEvent, type CaptureOptions, type CollectorResult, runCapture } from './engine.ts';
export { GapLog } from './gaps.ts';
export { type Selected, type Selection, selectCollectors } from './select.ts';
