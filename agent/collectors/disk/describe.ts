// What device.json says of a disk: identity, geometry, partitions, and whether anybody could write while it was read.
import type { Host } from '../../host/host.ts';
import { usesOf } from './mounted.ts';
import { attribute, type BlockFolder, partitionsOf, SECTOR_BYTES, sizeOf, wholeOf } from './sysfs.ts';

/**
 * Fields that this device does not have are left out. Sizes and offsets are bytes. `live` is true where somebody was seen
 * who writes or may (a mount, swap, a holder), false only for a read-only device, and left out where it is not known to be
 * at rest: mounts in other namespaces and processes that hold the device open are not looked for.
 */
export function describeDevice(host: Host, disk: BlockFolder, path: string): Record<string, unknown> {
  const whole = wholeOf(disk);
  // a partition has its disk's geometry and identity
  const read = (name: string): string | undefined =>
    attribute(disk, name) ?? (whole === undefined ? undefined : attribute(whole, name));
  const uses = usesOf(host, disk);
  const readOnly = read('ro') === '1';
  const written = uses.swaps.length > 0 || uses.mounts.some((mount) => !mount.readOnly);
  return {
    impound: {
      name: disk.name,
      path,
      number: read('dev'),
      bytes: sizeOf(disk),
      begun: new Date().toISOString(),
      // a mount that is older than the device's read-only mark still writes; a holder may write without a mount
      live: written || (readOnly ? false : uses.holders.length > 0 || undefined),
      readOnly,
      ...uses,
      removable: read('removable') === '1',
      rotational: read('queue/rotational') === '1',
      logicalBlockBytes: count(read('queue/logical_block_size')),
      physicalBlockBytes: count(read('queue/physical_block_size')),
      diskSequence: count(read('diskseq')),
      vendor: read('device/vendor'),
      model: read('device/model'),
      serial: read('serial') ?? read('device/serial'),
      wwid: read('wwid') ?? read('device/wwid'),
      revision: read('device/rev') ?? read('device/firmware_rev'),
      mappedName: read('dm/name'),
      mappedUuid: read('dm/uuid'),
      backingFile: read('loop/backing_file'),
      backingOffset: count(read('loop/offset')),
      partitions: partitionsOf(disk).map((partition) => ({
        name: partition.name,
        number: count(attribute(partition, 'partition')),
        start: Number(attribute(partition, 'start') ?? 0) * SECTOR_BYTES,
        bytes: sizeOf(partition),
        readOnly: attribute(partition, 'ro') === '1',
        uuid: uevent(partition, 'PARTUUID'),
        label: uevent(partition, 'PARTNAME'),
      })),
    },
  };
}

/** Undefined for what is no number. */
function count(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function uevent(partition: BlockFolder, key: string): string | undefined {
  const lines = (attribute(partition, 'uevent') ?? '').split('\n');
  return lines.find((line) => line.startsWith(`${key}=`))?.slice(key.length + 1);
}
