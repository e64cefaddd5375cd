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
