// The door of the room: what captures a node.
export type { FootprintItem, NodeContext, NodeSettings, Suspect } from './context.ts';
export { type Host, hostAt } from './host/host.ts';
export { captureNode, type NodeCaptureOptions, type NodeCaptureResult } from './node-capture.ts';
export { nodeCollectors, profiles } from './registry.ts';
export { nodeSettings } from './settings.ts';
