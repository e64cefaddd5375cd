// The test as a node's agent, honest or not: it speaks the agent protocol to a real controller over a real S3.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ChainEntry, openS3Store, readChain, type Store } from '../../../evidence/index.ts';
import type { AgentCall, CaptureOrder, NodeCapture } from '../../../protocol/index.ts';
import { cli } from '../../helpers/cli.ts';
import { fileBed, type Scenario } from '../../helpers/file-bed.ts';
import { fileTemporaryFolder } from '../../helpers/temporary.ts';
import { IMPOUND_COMPONENTS, type Impound, type ImpoundOptions, logOf, startImpound } from '../../testbed/impound.ts';

const ANSWER_MILLISECONDS = 60_000;
const START_MILLISECONDS = 20_000;

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into what the controller says, and fails where it is not so
  readonly json: any;
  readonly text: string;
}

export interface AskOptions {
  /** In the Authorization header; the agent's own where absent, none where null. */
  readonly token?: string | null;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface Grant {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Bed {
  readonly impound: Impound;
  /** What is said to the controller on node2; `body` as JSON, a string or bytes as they are. */
  ask(path: string, body: unknown, options?: AskOptions): Promise<Answer>;
  metric(name: string, labels?: string): Promise<number>;
  /** The node's own agent's token, as the kubelet projects it. */
  token(node?: string): Promise<string>;
  /** A NodeCapture of node1, when its order has come. */
  order(name: string): Promise<CaptureOrder>;
  speak(order: Pick<CaptureOrder, 'uid'>, collectors?: readonly string[]): Promise<Speaker>;
  /** To the store, or where the grant leads. */
  put(grant: Grant, bytes: Uint8Array): Promise<{ readonly status: number; readonly text: string }>;
  store(capture: NodeCapture): Promise<Store>;
  chain(capture: NodeCapture): Promise<readonly ChainEntry[]>;
  /** Waits for the seal, and verifies with the controller's key and head. */
  sealed(name: string, ...phases: readonly string[]): Promise<NodeCapture>;
  verify(capture: NodeCapture): Promise<void>;
}

/** One session. */
export interface Speaker {
  readonly uid: string;
  readonly session: number;
  readonly nonce: string;
  raw(calls: readonly unknown[], session?: number): Promise<Answer>;
  /** One result a call, of an answer that is 200. */
  calls(...calls: readonly AgentCall[]): Promise<readonly Result[]>;
  /** Grants, sends, asks and records. */
  keep(path: string, bytes: Uint8Array, collector?: string): Promise<void>;
  end(outcome?: string): Promise<Answer>;
}

export interface Result {
  readonly ok: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly value?: any;
  readonly code?: string;
  readonly message?: string;
}

/** Starts the bed of a test file, without any real agent; to be awaited at its top level. */
export async function agentBed(options: ImpoundOptions = {}): Promise<Scenario<Bed>> {
  const home = await fileTemporaryFolder();
  return fileBed(IMPOUND_COMPONENTS, () => start(options, home));
}

async function start(options: ImpoundOptions, home: string): Promise<Bed> {
  const impound = await startImpound({ after }, options);
  for (const node of options.agents ?? ['node1']) await impound.agent(node).program.kill();
  const base = await impound.reach('node2');
  const agent = new Agent({ keepAlive: true, ca: await readFile(impound.ca), servername: impound.serverName });
  after(() => agent.destroy());
  const tokens = new Map<string, Promise<string>>();
  const token = (node = 'node1'): Promise<string> => {
    // the volume is mounted for that node's processes only
    const read = tokens.get(node) ?? impound.cluster.run(node, ['cat', impound.agent(node).token]);
    tokens.set(node, read);
    return read.then((text) => text.trim());
  };
  const ask: Bed['ask'] = async (path, body, { token: given, method = 'POST', headers = {}, signal } = {}) => {
    const bearer = given === undefined ? await token() : given;
    const bytes = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
    const sent = httpsRequest(base + path, {
      ...{ agent, method, timeout: ANSWER_MILLISECONDS, ...(signal === undefined ? {} : { signal }) },
      headers: {
        'content-type': 'application/json',
        ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
        ...headers,
      },
    });
    sent.on('timeout', () => sent.destroy(new Error('no answer')));
    const answered = once(sent, 'response');
    sent.on('error', () => undefined); // also after the answer: what is refused need not be read to its end
    sent.end(method === 'GET' ? undefined : bytes);
    const [answer] = (await answered) as [IncomingMessage];
    const text = await textOf(answer);
    return { status: answer.statusCode ?? 0, text, json: text.startsWith('{') ? JSON.parse(text) : undefined };
  };
  for (const end = Date.now() + START_MILLISECONDS; ; await sleep(50)) {
    // it is starting, and then it is elected
    const figures = await ask('/metrics', '', { method: 'GET', token: null }).catch(() => undefined);
    if (figures?.text.includes('\nimpound_leader 1\n')) break;
    assert.ok(Date.now() < end, await logOf(impound.controller('node2')));
  }
  const store: Bed['store'] = async ({ status }) => {
    const [bucket = '', ...prefix] = (status?.bundle?.url ?? '').replace('s3://', '').split('/');
    const { endpoint, region, accessKeyId, secretAccessKey } = impound.s3;
    const credentials = { accessKeyId, secretAccessKey };
    return openS3Store({ bucket, prefix: prefix.join('/'), endpoint, region, credentials });
  };
  const verify: Bed['verify'] = async ({ status }) => {
    const { url = '', head } = status?.bundle ?? {};
    const words = ['verify', url, '--key', impound.publicKey, '--head', `${head?.sequence}:${head?.sha256}`];
    const ran = await cli(words, { home, env: { ...impound.aws, AWS_EC2_METADATA_DISABLED: 'true' } });
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
  };
  return {
    ...{ impound, ask, token, store, verify },
    async metric(name, labels) {
      const { text } = await ask('/metrics', '', { method: 'GET', token: null });
      const lines = text
        .split('\n')
        .filter((line) => line.startsWith(name) && (labels === undefined || line.includes(labels)));
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    },
    async order(name) {
      await impound.capture(name, { profile: 'quick' });
      for (;;) {
        const { json, text } = await ask('/agent/v1/poll', { versions: ['v1'], software: 'a test' });
        if (json?.code === 'unavailable')
          await sleep(100); // nobody leads yet
        else if (json?.capture === undefined) throw new Error(text);
        if (json?.capture?.name === name) return json.capture;
      }
    },
    async speak({ uid }, collectors = ['host', 'processes']) {
      const nonce = randomBytes(16).toString('hex');
      const begun = await ask(`/agent/v1/captures/${uid}/session`, { nonce, software: 'a test', collectors });
      assert.equal(begun.status, 200, begun.text);
      return speaker({
        uid,
        session: begun.json.session,
        nonce,
        ask,
        put: (grant, bytes) => put(impound, grant, bytes),
      });
    },
    put: (grant, bytes) => put(impound, grant, bytes),
    chain: async (capture) => readChain(await store(capture)),
    async sealed(name, ...phases) {
      const capture = await impound.untilPhase(name, 60, 'Sealed', 'Failed', 'Cancelled', ...phases);
      assert.equal(capture.status?.phase, 'Sealed', JSON.stringify(capture.status));
      await verify(capture);
      return capture;
    },
  };
}

interface Speaking extends Pick<Bed, 'ask' | 'put'>, Pick<Speaker, 'uid' | 'session' | 'nonce'> {}

function speaker({ uid, session, nonce, ask, put }: Speaking): Speaker {
  const raw: Speaker['raw'] = (calls, number = session) =>
    ask(`/agent/v1/captures/${uid}/calls`, { session: number, calls });
  const calls: Speaker['calls'] = async (...asked) => {
    const { status, json, text } = await raw(asked);
    assert.equal(status, 200, text);
    return json.results;
  };
  return {
    ...{ uid, session, nonce, raw, calls },
    async keep(path, bytes, collector = 'host') {
      const claim = claimOf(path, bytes);
      const [granted] = await calls({ kind: 'grant-object', ...claim });
      assert.ok(granted?.ok, granted?.message);
      assert.equal((await put(granted.value, bytes)).status, 200);
      const told = await calls(
        { kind: 'finished', ...claim },
        { kind: 'record', record: recordOf(claim, session, collector) },
      );
      assert.deepEqual(
        told.map(({ ok }) => ok),
        [true, true],
        JSON.stringify(told),
      );
    },
    end: (outcome = 'complete') => ask(`/agent/v1/captures/${uid}/end`, { session, outcome, gaps: [], footprint: [] }),
  };
}

export function claimOf(path: string, bytes: Uint8Array) {
  return { path, size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

export function recordOf(
  claim: { readonly path: string; readonly size: number; readonly sha256: string },
  session: number,
  collector = 'host',
) {
  const now = new Date().toISOString();
  return { ...claim, collector, session, source: '/proc', begun: now, ended: now };
}

/** What the chain says an agent was refused: counts by code. */
export function refusalsOn(entries: readonly ChainEntry[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { statement } of entries) {
    const { action, details } = statement.predicate;
    if (action !== 'note' || details.reason !== 'agent-refused') continue;
    for (const { code, count } of details.refusals as { code: string; count: number }[])
      counts[code] = (counts[code] ?? 0) + count;
  }
  return counts;
}

/** The URL is signed for the address that the bed's nodes see; this machine reaches the same server at another. */
async function put({ s3 }: Impound, { url, headers }: Grant, bytes: Uint8Array) {
  const { host, pathname, search } = new URL(url);
  const { hostname, port } = new URL(s3.endpoint);
  const options = { hostname, port, path: pathname + search, method: 'PUT', headers: { ...headers, host } };
  const sent = httpRequest({ ...options, timeout: ANSWER_MILLISECONDS });
  const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
  sent.on('error', () => undefined); // also after the answer
  sent.end(bytes);
  try {
    const [answer] = await answered;
    return { status: answer.statusCode ?? 0, text: await textOf(answer) };
  } catch (error) {
    // a store that refuses need not read all of a body before it ends the connection
    return { status: 400, text: String(error) };
  }
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
