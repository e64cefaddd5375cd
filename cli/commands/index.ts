// The verbs, in the order that --help shows them. Modules here are small; what they run is loaded when they run.
import type { Command } from '../command.ts';
import { bundles } from './bundles.ts';
import { capture } from './capture.ts';
import { cat } from './cat.ts';
import { check } from './check.ts';
import { collectors } from './collectors.ts';
import { diskRestore } from './disk-restore.ts';
import { install } from './install.ts';
import { keygen } from './keygen.ts';
import { list } from './list.ts';
import { ls } from './ls.ts';
import { pull } from './pull.ts';
import { release } from './release.ts';
import { seal } from './seal.ts';
import { timestamp } from './timestamp.ts';
import { verify } from './verify.ts';
import { cancel, status, watch } from './watch.ts';

export const commands: readonly Command<never>[] = [
  capture,
  list,
  status,
  watch,
  cancel,
  release,
  check,
  bundles,
  pull,
  verify,
  ls,
  cat,
  seal,
  timestamp,
  diskRestore,
  keygen,
  install,
  collectors,
];
