// The verbs, in the order that --help shows them. Modules here are small; what they run is loaded when they run.
import type { Command } from '../command.ts';
import { capture } from './capture.ts';
import { cat } from './cat.ts';
import { collectors } from './collectors.ts';
import { diskRestore } from './disk-restore.ts';
import { keygen } from './keygen.ts';
import { ls } from './ls.ts';
import { seal } from './seal.ts';
import { verify } from './verify.ts';

export const commands: readonly Command<never>[] = [capture, verify, ls, cat, seal, diskRestore, keygen, collectors];
