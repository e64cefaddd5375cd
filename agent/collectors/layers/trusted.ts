// Whether the programs that this process runs see trusted.* attributes: to others the kernel hides them without an error.
import { readFileSync, readlinkSync } from 'node:fs';
import { errnoOf } from '../../../evidence/index.ts';
import { capabilityNames } from '../processes/capabilities.ts';

/** PROC_USER_INIT_INO of linux/proc_ns.h: the one in which the capability counts for this, see xattr(7). */
const FIRST_USER_NAMESPACE = 'user:[4026531837]';

export function readsTrusted(): boolean {
  if (!inFirstUserNamespace()) return false;
  // what a program that is run has of it: all of root's, else only what is ambient, see capabilities(7)
  const name = process.geteuid?.() === 0 ? 'CapEff' : 'CapAmb';
  const mask = new RegExp(`^${name}:\\s+([0-9a-f]+)$`, 'm').exec(readFileSync('/proc/self/status', 'latin1'))?.[1];
  return capabilityNames(mask)?.includes('CAP_SYS_ADMIN') === true;
}

function inFirstUserNamespace(): boolean {
  try {
    return readlinkSync('/proc/self/ns/user') === FIRST_USER_NAMESPACE;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return true; // a kernel that has no others
    throw error;
  }
}
