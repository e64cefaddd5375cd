// What the phases share: the bed with its agents, and how a figure becomes a row.
import type { Measured } from '../measure.ts';
import type { FleetBed, Replica } from './bed.ts';
import type { Crew } from './crew.ts';
import { type ApiRequest, metricsOf, tally } from './gauge.ts';
import { CONTROLLER_MEBIBYTES } from './limited.ts';

export interface Fleet {
  readonly bed: FleetBed;
  /** Of the hollow nodes. */
  readonly names: readonly string[];
  readonly crew: Crew;
}

export function otherThan(replica: Replica): Replica {
  return replica === 'node2' ? 'node3' : 'node2';
}

/** Of a replica, its event loop's delays since the last call. */
export function metrics({ impound, urls }: FleetBed, replica: Replica): Promise<ReadonlyMap<string, number>> {
  return metricsOf(urls[replica], impound.ca, impound.serverName);
}

export function isReview({ what }: ApiRequest): boolean {
  return what === 'create tokenreviews';
}

/** "get leases 90.0, watch nodes 0.3 a minute", the most frequent first. */
export function perMinute(asked: readonly ApiRequest[], minutes: number): string {
  const counts = [...tally(asked.map(({ what }) => what))];
  return `${counts.map(([what, count]) => `${what} ${(count / minutes).toFixed(1)}`).join(', ')} a minute`;
}

export function row(what: string, figure: string, wanted = '', met?: boolean): Measured {
  return { what, figure, floor: '', ratio: '', wanted, met };
}

export function memoryRow(what: string, bytes: number): Measured {
  const mebibytes = bytes / 1024 ** 2;
  const wanted = `under ${CONTROLLER_MEBIBYTES} MiB`;
  return row(what, `${mebibytes.toFixed(0)} MiB`, wanted, mebibytes < CONTROLLER_MEBIBYTES);
}

export function seconds(value: number): string {
  return `${value.toFixed(2)} s`;
}
