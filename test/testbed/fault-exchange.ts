// One request through the proxy of the tests, and what may be done to it on its way.
import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';

const PACES_PER_SECOND = 20;

interface Answer {
  readonly kind: 'answer';
  readonly status: number;
  readonly code?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export type Fault =
  /** Answered by the proxy, after it took the request's body; with `code`, as S3 answers errors. */
  | Answer
  /** Both connections end once the server was sent so much of the request's body; with 0 it never hears of it. */
  | { readonly kind: 'cut-request'; readonly bytes: number }
  /** The client's connection is reset once it was sent so much of the answer's body; with 0, not even the head. */
  | { readonly kind: 'cut-response'; readonly bytes: number }
  /** The head, half of the announced body, and an orderly end of the connection. */
  | { readonly kind: 'half-response' }
  /** The server did all of it and its answer is thrown away: the client's connection is reset. */
  | { readonly kind: 'lose-response' }
  /** So long before the server hears of the request. */
  | { readonly kind: 'delay'; readonly milliseconds: number }
  /** Both bodies. */
  | { readonly kind: 'throttle'; readonly bytesPerSecond: number };

export interface SeenRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: IncomingMessage['headers'];
  readonly fault: Fault['kind'] | undefined;
  /** Of the request's body, as sent on to the server. */
  sentOn: number;
  /** Of the server's answer; undefined as long as there is none. */
  status: number | undefined;
}

export interface Exchange {
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  readonly record: SeenRequest;
  readonly fault: Fault | undefined;
}

/** Rejects, or leaves no answer, where one side failed: the other is to be ended then. */
export async function serve({ hostname, port }: URL, exchange: Exchange): Promise<void> {
  const { incoming, response, record, fault } = exchange;
  if (fault?.kind === 'answer') return answer(exchange, fault);
  if (fault?.kind === 'delay') await sleep(fault.milliseconds, undefined, { ref: false });
  if (fault?.kind === 'cut-request' && fault.bytes === 0) return void reset(incoming);
  const { method, url: path, rawHeaders: headers } = incoming;
  const upstream = request({ hostname, port, method, path, headers, agent: false });
  // what goes wrong once the answer has begun, the answer itself shows
  upstream.on('error', () => record.status ?? response.destroy());
  let sending = incoming.headers.expect === undefined;
  upstream.on('continue', () => {
    sending = true;
    response.writeContinue();
  });
  upstream.on('response', (reply) => {
    record.status = reply.statusCode;
  });
  response.on('close', () => upstream.destroy());
  upstream.flushHeaders();
  const answered: Promise<IncomingMessage[]> = once(upstream, 'response');
  const sent = sendBody(exchange, upstream).catch(() => record.status ?? upstream.destroy());
  const [reply] = await answered;
  if (reply === undefined || !(await sendReply(exchange, reply))) return;
  if (sending) await sent; // a connection that is closed while the client still sends is reset
  response.end();
}

/** A server may answer and close before it took the body: the rest is taken here, so that the client reads its answer. */
async function sendBody({ incoming, record, fault }: Exchange, upstream: ClientRequest): Promise<void> {
  const most = fault?.kind === 'cut-request' ? fault.bytes : Number.POSITIVE_INFINITY;
  for await (const piece of paced(incoming, fault)) {
    await turn(); // what came meanwhile is read before a write that may fail
    if (record.status !== undefined) continue;
    const part = piece.subarray(0, most - record.sentOn);
    await written(upstream, part);
    record.sentOn += part.length;
    if (record.sentOn < most) continue;
    upstream.destroy();
    reset(incoming);
    return;
  }
  upstream.end();
}

/** Head and body; false where the fault ended the connection. */
async function sendReply({ incoming, response, fault }: Exchange, reply: IncomingMessage): Promise<boolean> {
  if (fault?.kind === 'lose-response') {
    for await (const _ of reply); // the server has done its part
    return reset(incoming);
  }
  let left = Number.POSITIVE_INFINITY;
  if (fault?.kind === 'cut-response') left = fault.bytes;
  if (fault?.kind === 'half-response') left = Math.floor(Number(reply.headers['content-length']) / 2);
  if (left === 0) return reset(incoming);
  response.sendDate = false; // the server's own is among the headers
  response.writeHead(reply.statusCode ?? 0, reply.statusMessage, reply.rawHeaders).flushHeaders();
  for await (const piece of paced(reply, fault)) {
    const part = piece.subarray(0, left);
    await written(response, part);
    left -= part.length;
    if (left > 0) continue;
    if (fault?.kind !== 'half-response') return reset(incoming);
    incoming.socket.end();
    return false;
  }
  return true;
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
async function answer({ incoming, response }: Exchange, { status, code, headers }: Answer): Promise<void> {
  // a client that asked whether to send its body is answered at once, and then does not send it
  const unsent = incoming.headers.expect !== undefined;
  if (!unsent) for await (const _ of incoming);
  const message = '<Message>By the proxy of the tests.</Message><RequestId>FAULT</RequestId>';
  const body = code === undefined ? '' : `<?xml version="1.0"?>\n<Error><Code>${code}</Code>${message}</Error>`;
  const content = { 'content-type': 'application/xml', 'content-length': body.length };
  const connection = unsent ? 'close' : 'keep-alive';
  response.writeHead(status, { connection, ...content, 'x-amz-request-id': 'FAULT', ...headers }).end(body);
}

async function* paced(body: AsyncIterable<Buffer>, fault: Fault | undefined): AsyncGenerator<Buffer> {
  const rate = fault?.kind === 'throttle' ? fault.bytesPerSecond : Number.POSITIVE_INFINITY;
  for await (const chunk of body) {
    const step = Math.min(chunk.length, Math.max(1, Math.floor(rate / PACES_PER_SECOND)));
    for (let start = 0; start < chunk.length; start += step) {
      const piece = chunk.subarray(start, start + step);
      if (rate !== Number.POSITIVE_INFINITY) await sleep((piece.length / rate) * 1000);
      yield piece;
    }
  }
}

function written(to: Writable, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    to.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

function reset(incoming: IncomingMessage): false {
  incoming.socket.resetAndDestroy();
  return false;
}
