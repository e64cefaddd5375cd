// The NodeCapture that the words of `capture NODE` ask for, and its name.
import { randomInt } from 'node:crypto';
import { nodeCollectors, profiles, type Suspect } from '../../agent/index.ts';
import { selectCollectors } from '../../capture/index.ts';
import { parseRecipients } from '../../evidence/index.ts';
import { type NodeCaptureRequest, type NodeCaptureSpec, parseNodeCaptureSpec } from '../../protocol/index.ts';
import type { CaptureArguments } from '../commands/capture.ts';
import { parseSuspect } from '../local/suspect.ts';
import { usage } from '../usage.ts';
import { CAPTURE_NAME } from './capture-name.ts';

/** Neither vowels nor letters that are taken for others. */
const LETTERS = 'bcdfghjkmnpqrstvwxz2456789';
const RANDOM_LETTERS = 4;
const MAX_NAME = 63;

/** Options that only `--local` knows, as they are written, where they have been given. */
const LOCAL: readonly (readonly [string, (argv: CaptureArguments) => boolean])[] = [
  ['--store', ({ store }) => store !== './evidence'],
  ['--root', ({ root }) => root !== '/'],
  ['--key', ({ key }) => key !== undefined],
  ['--docker', ({ docker }) => docker !== undefined],
  ['--cri', ({ cri }) => cri !== undefined],
  ['--containerd', ({ containerd }) => containerd !== undefined],
  ['--device', ({ device }) => device.length > 0],
  ['--tsa', ({ tsa }) => tsa.length > 0],
  ['--verify', ({ verify }) => verify],
  ['--retain', ({ retain }) => retain !== undefined],
  ['--legal-hold', ({ legalHold }) => legalHold],
  ['--sse-kms', ({ sseKms }) => sseKms !== undefined],
  ['--endpoint', ({ endpoint }) => endpoint !== undefined],
  ['--region', ({ region }) => region !== undefined],
];

/** Throws `usage` and `unknown-collector`: all that can be wrong with the words. */
export async function requestOf(argv: CaptureArguments, node: string, requestedBy: string): Promise<NodeCaptureSpec> {
  const local = LOCAL.filter(([, given]) => given(argv)).map(([option]) => option);
  if (local.length > 0)
    throw usage(
      `${local.join(', ')}: only with --local; in a cluster it was settled by "impound install", agents' words with --agent-arg`,
    );
  const { reason, recipient, encryption, collector, skip } = argv;
  if (reason === undefined) throw usage('say why the node is captured: --reason TEXT (kept in the custody chain)');
  if (recipient.length > 0 && encryption === 'none') throw usage('--recipient and --encryption none: give one of them');
  if (recipient.length === 0 && encryption === undefined)
    throw usage(
      'memory and environments hold secrets of everything on the node: give --recipient age1… (age-keygen makes one), or --encryption none',
    );
  if (recipient.length > 0) await parseRecipients(recipient);
  const { run } = selectCollectors(nodeCollectors, { profile: profiles[argv.profile], only: collector, skip });
  if (run.length === 0) throw usage('nothing is left to collect: --skip takes every collector away');
  if (argv.name !== undefined && !CAPTURE_NAME.test(argv.name))
    throw usage(`--name ${argv.name}: give at most 63 lower-case letters, digits, "-" and "."`);
  const request: NodeCaptureRequest = {
    ...{ node, requestedBy, reason, profile: argv.profile },
    ...(argv.case === undefined ? {} : { case: argv.case }),
    ...(collector.length + skip.length === 0
      ? {}
      : { collectors: { ...(collector.length > 0 ? { only: collector } : {}), ...(skip.length > 0 ? { skip } : {}) } }),
    ...(argv.suspect.length === 0 ? {} : { suspects: argv.suspect.map(parseSuspect).map(inSpec) }),
    ...{ watchSeconds: argv.watch, freeze: argv.freeze, cordon: argv.cordon },
    encryption: recipient.length > 0 ? { recipients: recipient } : { none: true },
    ...(argv.deadline === undefined ? {} : { deadlineSeconds: argv.deadline }),
  };
  return parseNodeCaptureSpec(request);
}

/** NODE-XXXX, by which a person knows again what it is. */
export function nameFor(node: string): string {
  const letters = Array.from({ length: RANDOM_LETTERS }, () => LETTERS[randomInt(LETTERS.length)]).join('');
  return `${node.slice(0, MAX_NAME - RANDOM_LETTERS - 1).replace(/[-.]+$/, '')}-${letters}`;
}

function inSpec(suspect: Suspect): NonNullable<NodeCaptureRequest['suspects']>[number] {
  switch (suspect.kind) {
    case 'pod':
      return { pod: { namespace: suspect.namespace, name: suspect.name } };
    case 'container':
      return { container: { id: suspect.id } };
    default:
      return { pid: suspect.pid };
  }
}
