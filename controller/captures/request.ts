// What a NodeCapture becomes for a bundle and for an agent: made of the object alone, so that whoever takes over makes the
// same.
import type { CaptureRequest } from '../../evidence/index.ts';
import { type CaptureOrder, type NodeCapture, suspectsOf } from '../../protocol/index.ts';

/** request.json of the bundle. */
export function bundleRequest(capture: NodeCapture, bundle: string): CaptureRequest {
  const { metadata, spec } = capture;
  // they may be set later, and are no part of what was asked for
  const { cancel: _cancel, release: _release, ...asked } = spec;
  return {
    bundle,
    requestedBy: spec.requestedBy,
    requestedAt: metadata.creationTimestamp ?? '',
    reason: spec.reason,
    case: spec.case ?? null,
    node: spec.node,
    profile: spec.profile,
    nodeCapture: { name: metadata.name, uid: metadata.uid ?? '' },
    encryption: spec.encryption.recipients === undefined ? 'none' : 'age',
    spec: asked,
  };
}

/** `done`: collectors that the chain has seen end. */
export function agentOrder(
  capture: NodeCapture,
  bundle: string,
  seconds: number,
  done: readonly string[],
): CaptureOrder {
  const { metadata, spec } = capture;
  return {
    uid: metadata.uid ?? '',
    name: metadata.name,
    bundle,
    profile: spec.profile,
    only: [...(spec.collectors?.only ?? [])],
    skip: [...(spec.collectors?.skip ?? [])],
    done: [...done],
    suspects: suspectsOf(spec),
    watchSeconds: spec.watchSeconds,
    freeze: spec.freeze,
    recipients: [...(spec.encryption.recipients ?? [])],
    seconds: Math.max(0, Math.round(seconds)),
  };
}
