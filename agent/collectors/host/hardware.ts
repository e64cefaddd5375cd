// Processors, memory, block devices, firmware's names.
import { readdirSync } from 'node:fs';
import type { Host } from '../../host/host.ts';
import type { PartReader } from './parts.ts';

const DMI = [
  'sys_vendor',
  'product_name',
  'product_version',
  'product_serial',
  'product_uuid',
  'board_vendor',
  'board_name',
  'bios_vendor',
  'bios_version',
  'chassis_asset_tag',
];
const MAX_DEVICES = 512;

export function hardware(host: Host, read: PartReader): Record<string, unknown> {
  const cpu = read.proc('cpuinfo', 4 * 1024 * 1024) ?? '';
  const memory = /^MemTotal:\s+(\d+) kB/m.exec(read.proc('meminfo') ?? '')?.[1];
  return {
    hardware: {
      cpu: {
        model: /^model name\s*: (.+)$/m.exec(cpu)?.[1],
        count: cpu.match(/^processor\s*:/gm)?.length,
        hypervisor: /^flags\s*:.*\bhypervisor\b/m.test(cpu),
      },
      memoryBytes: memory === undefined ? undefined : Number(memory) * 1024,
      swaps: (read.proc('swaps') ?? '').split('\n').slice(1),
      dmi: Object.fromEntries(DMI.map((name) => [name, read.sys(`class/dmi/id/${name}`)])),
      hypervisor: read.sys('hypervisor/type'),
      blockDevices: blockDevices(host, read),
    },
  };
}

/** Sizes in bytes; the kernel counts sectors of 512 whatever the device's own are. */
function blockDevices(host: Host, read: PartReader): readonly Record<string, unknown>[] {
  return folder(`${host.sys}/block`).map((name) => ({
    name,
    bytes: Number(read.sys(`block/${name}/size`) ?? 0) * 512,
    model: read.sys(`block/${name}/device/model`),
    serial: read.sys(`block/${name}/device/serial`),
    readOnly: read.sys(`block/${name}/ro`) === '1',
    removable: read.sys(`block/${name}/removable`) === '1',
    partitions: folder(`${host.sys}/block/${name}`).filter((child) => child.startsWith(name)),
  }));
}

function folder(path: string): readonly string[] {
  try {
    return readdirSync(path).slice(0, MAX_DEVICES);
  } catch {
    return []; // a machine without this folder has no such devices to name
  }
}
