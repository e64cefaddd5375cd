// Device numbers as the kernel hands them to programs, makedev(3).

export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}

/** Of `st_dev` and `st_rdev`, and of the 32 bits that /proc/PID/stat has for the terminal. */
export function deviceNumber(device: bigint): DeviceNumber {
  return {
    major: Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n)),
    minor: Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n)),
  };
}

/** "MAJOR:MINOR" as mountinfo and sysfs write it. */
export function deviceText(device: bigint): string {
  const { major, minor } = deviceNumber(device);
  return `${major}:${minor}`;
}
