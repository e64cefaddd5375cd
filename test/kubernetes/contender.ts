// A program that contends for a lease, and writes what it claims: `contender.ts KUBECONFIG NAME IDENTITY TIMES`.
// Lines: {"at": nanoseconds of the machine's clock, "leads": whether it says so}, every few milliseconds.
import { writeSync } from 'node:fs';
import { readAccess } from '../../kubernetes/access.ts';
import { kubernetes } from '../../kubernetes/client.ts';
import { elect } from '../../kubernetes/lease.ts';

const [kubeconfig = '', name = '', identity = '', times = '{}'] = process.argv.slice(2);
const ending = new AbortController();
const nothing = (): void => undefined;
const log = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const client = kubernetes(await readAccess(kubeconfig));
const election = elect({
  ...{ kubernetes: client, namespace: 'default', name, identity, log, signal: ending.signal },
  ...(JSON.parse(times) as object),
  led: (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
});
const say = (): void => {
  // first the claim: the time is then of after it, and of no other's turn
  const leads = election.isLeader();
  writeSync(1, `${JSON.stringify({ at: String(process.hrtime.bigint()), leads })}\n`);
};
const timer = setInterval(say, 5);
process.once('SIGTERM', () => ending.abort());
await election.ended;
say();
clearInterval(timer);
client.close();
