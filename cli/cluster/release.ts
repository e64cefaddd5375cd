// impound release NAME, or --node NODE: the node is given back as it was, the evidence stays.
import type { NodeCapture } from '../../protocol/index.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { ReleaseArguments } from '../commands/release.ts';
import { escapeText, styled } from '../terminal/text.ts';
import { usage } from '../usage.ts';
import { againWith } from './again.ts';
import { getCapture, isEnded, listCaptures, patchCapture } from './captures.ts';
import { type Connection, connect } from './connect.ts';
import { follow } from './follow.ts';
import { assertMay } from './rights.ts';
import { on } from './roles.ts';

/** 0: given back; 1: there was nothing to release; 130: the person left before it was. */
export async function runRelease(argv: ReleaseArguments, environment: Environment): Promise<ExitCode> {
  const { name, node } = argv;
  if ((name === undefined) === (node === undefined))
    throw usage('say what is released: "release NAME" a capture, "release --node NODE" all that hold a node');
  await using connection = await connect(argv);
  const { json, quiet, stdout, stderr } = environment;
  const rights = [...on('get list watch patch'), ...on('update', { subresource: 'release' })];
  await assertMay(connection, rights, 'impound-releaser');
  const found = name === undefined ? await listCaptures(connection, node) : [await getCapture(connection, name)];
  const held = found.filter(({ status }) => status?.phase !== 'Released');
  if (held.length === 0) {
    stderr.write(name === undefined ? `no capture holds node ${node}\n` : `capture ${name} is released already\n`);
    if (json) for (const capture of found) stdout.write(`${JSON.stringify(capture)}\n`);
    return 1;
  }
  const again = againWith(argv, environment);
  for (const capture of held) {
    if (!json && !quiet) stderr.write(`${announce(capture)}\n`);
    const released = await releaseOne(connection, capture, environment);
    if (released === undefined) {
      stderr.write(`it goes on without you: ${again(`status ${capture.metadata.name}`)}\n`);
      return 130;
    }
    if (json) stdout.write(`${JSON.stringify(released)}\n`);
    else printReleased(released, environment);
  }
  return 0;
}

async function releaseOne(
  connection: Connection,
  capture: NodeCapture,
  environment: Environment,
): Promise<NodeCapture | undefined> {
  const { name } = capture.metadata;
  await patchCapture(connection, name, { release: true });
  const until = ({ status }: NodeCapture): boolean => status?.phase === 'Released';
  return follow(connection, { name, until, silent: isEnded(capture) }, environment);
}

function announce(capture: NodeCapture): string {
  const { metadata, spec } = capture;
  const first = isEnded(capture) ? '' : 'collecting ends, what there is is sealed, and then ';
  return `releasing ${metadata.name}: ${first}node ${escapeText(spec.node)} gets back what it had before (cordon, taint, annotations); the evidence stays`;
}

/** What others changed meanwhile is left so, and named. */
function printReleased({ status, metadata }: NodeCapture, { stdout }: Environment): void {
  const { message = '', reason } = status?.conditions?.find(({ type }) => type === 'Released') ?? {};
  const mark = reason === 'Restored' ? styled('green', '✔', stdout) : styled('yellow', '!', stdout);
  stdout.write(`${mark} ${metadata.name}: ${escapeText(message)}\n`);
}
