// What tainted this kernel, bit by bit: Documentation/admin-guide/tainted-kernels.rst.

const FLAGS: readonly (readonly [letter: string, meaning: string])[] = [
  ['P', 'proprietary module was loaded'],
  ['F', 'module was force loaded'],
  ['S', 'kernel running on an out of specification system'],
  ['R', 'module was force unloaded'],
  ['M', 'processor reported a Machine Check Exception'],
  ['B', 'bad page referenced or some unexpected page flags'],
  ['U', 'taint requested by userspace application'],
  ['D', 'kernel died recently, i.e. there was an OOPS or BUG'],
  ['A', 'ACPI table overridden by user'],
  ['W', 'kernel issued warning'],
  ['C', 'staging driver was loaded'],
  ['I', 'workaround for bug in platform firmware applied'],
  ['O', 'externally-built ("out-of-tree") module was loaded'],
  ['E', 'unsigned module was loaded'],
  ['L', 'soft lockup occurred'],
  ['K', 'kernel has been live patched'],
  ['X', 'auxiliary taint, defined for and used by distros'],
  ['T', 'kernel was built with the struct randomization plugin'],
  ['N', 'an in-kernel test has been run'],
  ['J', 'userspace used a mutating debug operation in fwctl'],
];

/** Flags a module leaves behind that carries the same letter while it is loaded. */
const BY_MODULE = 'PFCOEKXN';

export interface Taint {
  readonly value: string;
  readonly flags: readonly { readonly bit: number; readonly letter: string; readonly meaning: string }[];
  /**
   * Letters only a module can have caused, with no module in /proc/modules that carries them: it was unloaded since,
   * or it is hidden. Absent where there is no list of modules.
   */
  readonly withoutModule?: string;
}

/** `value` as /proc/sys/kernel/tainted has it; `moduleTaints` all letters of the modules listed. */
export function decodeTaint(value: string, moduleTaints: string | undefined): Taint | undefined {
  const text = value.trim();
  if (!/^\d{1,20}$/.test(text)) return undefined;
  const bits = BigInt(text);
  const flags = [];
  for (let bit = 0; bits >> BigInt(bit) > 0n; bit++) {
    if (((bits >> BigInt(bit)) & 1n) === 0n) continue;
    const [letter, meaning] = FLAGS[bit] ?? ['?', 'not known to this version'];
    flags.push({ bit, letter, meaning });
  }
  const orphans = flags.map(({ letter }) => letter).filter((letter) => BY_MODULE.includes(letter));
  return {
    value: text,
    flags,
    ...(moduleTaints === undefined
      ? {}
      : { withoutModule: orphans.filter((letter) => !moduleTaints.includes(letter)).join('') }),
  };
}
