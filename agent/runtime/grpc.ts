// Asks a gRPC server on a Unix socket: only the methods that are listed, each within a deadline and a size, and hands
// over what came as the bytes they were beside what they say.
import { stat } from 'node:fs/promises';
import type { Client, Metadata } from '@grpc/grpc-js';
import type { MethodDefinition, ServiceDefinition } from '@grpc/proto-loader';
import { describeError, ImpoundError } from '../../evidence/index.ts';
import { type GrpcCall, grpcError } from './grpc-error.ts';
import { type Definition, descriptorOf, type Response, responseOf } from './proto/notation.ts';
import { hasMoreParts } from './proto/parts.ts';

/** What containerd and CRI-O send at most, where nobody has configured more. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
/** Messages within messages of one answer: each costs far more memory than its two bytes on the wire may be. */
const MAX_PARTS = 400_000;
/** Of a stream, over all its messages. */
const MAX_STREAM_BYTES = 64 * 1024 * 1024;
const SECONDS = 5;

/** One message: the bytes it came as, unknown fields included, and its fields as far as they are known here. */
export interface Answer<T> {
  readonly raw: Buffer;
  /** Throws ImpoundError for bytes that are no such message, and for a message of too many parts. */
  decode(): T;
}

export interface AskOptions {
  readonly signal: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
  /** 5 where absent. */
  readonly seconds?: number;
}

type Services<D extends Definition> = D['services'];

export interface Grpc<D extends Definition> {
  readonly socket: string;
  /** A unary call. Throws ImpoundError. */
  ask<S extends keyof Services<D> & string, M extends keyof Services<D>[S] & string>(
    service: S,
    method: M,
    request: Readonly<Record<string, unknown>>,
    options: AskOptions,
  ): Promise<Answer<Response<D, Services<D>[S][M]>>>;
  /** A call that answers with a stream. Throws ImpoundError, `content-too-large` beyond 64 MiB. */
  stream<S extends keyof Services<D> & string, M extends keyof Services<D>[S] & string>(
    service: S,
    method: M,
    request: Readonly<Record<string, unknown>>,
    options: AskOptions,
  ): AsyncGenerator<Answer<Response<D, Services<D>[S][M]>>>;
  close(): void;
}

/** Nothing is connected before the first call. Throws where there is no socket at the path. */
export async function openGrpc<D extends Definition>(socket: string, definition: D): Promise<Grpc<D>> {
  await assertSocket(socket);
  const [grpc, loader] = await Promise.all([import('@grpc/grpc-js'), import('@grpc/proto-loader')]);
  grpc.setLogVerbosity(grpc.logVerbosity.NONE); // its own words go to standard error; errors are thrown all the same
  const descriptor = descriptorOf(definition) as Parameters<typeof loader.fromJSON>[0];
  const types = loader.fromJSON(descriptor, { keepCase: true, longs: String, enums: String, defaults: true });
  const client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), {
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    'grpc.enable_retries': 0,
    'grpc.enable_http_proxy': 0,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.service_config_disable_resolution': 1,
    'grpc.primary_user_agent': 'impound',
  });
  const prepare = (service: string, method: string, options: AskOptions): Prepared => {
    const known = (types[service] as ServiceDefinition | undefined)?.[method];
    const { signal, headers = {}, seconds = SECONDS } = options;
    const call = { operation: `${service}/${method}`, thing: socket, seconds, caller: signal };
    if (known === undefined) throw new ImpoundError('internal', `${call.operation} is not among the calls made`, call);
    const metadata = new grpc.Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    const deadline = Date.now() + seconds * 1000;
    const answer = answers(definition, responseOf(definition, service, method), known, call);
    return { client, known, answer, metadata, call, deadline };
  };
  return {
    socket,
    ask: (service, method, request, options) => unary(prepare(service, method, options), request),
    stream: (service, method, request, options) => streamed(prepare(service, method, options), request),
    close: () => client.close(),
  };
}

interface Prepared {
  readonly client: Client;
  readonly known: MethodDefinition<object, object>;
  readonly answer: (raw: Buffer) => Answer<unknown>;
  readonly metadata: Metadata;
  readonly call: GrpcCall;
  /** Milliseconds since the epoch. */
  readonly deadline: number;
}

function unary<T>({ client, known, answer, metadata, call, deadline }: Prepared, request: object): Promise<Answer<T>> {
  return new Promise((resolve, reject) => {
    if (call.caller.aborted) {
      reject(grpcError(undefined, call));
      return;
    }
    const { path, requestSerialize } = known;
    const outgoing = client.makeUnaryRequest(
      path,
      requestSerialize,
      asReceived,
      request,
      metadata,
      { deadline },
      (error, raw) => {
        call.caller.removeEventListener('abort', stop);
        if (error !== null) reject(grpcError(error, call));
        else if (raw === undefined) reject(grpcError(new Error('no message in the answer'), call));
        else resolve(answer(raw) as Answer<T>);
      },
    );
    const stop = (): void => outgoing.cancel();
    call.caller.addEventListener('abort', stop, { once: true });
  });
}

async function* streamed<T>(
  { client, known, answer, metadata, call, deadline }: Prepared,
  request: object,
): AsyncGenerator<Answer<T>> {
  if (call.caller.aborted) throw grpcError(undefined, call);
  const { path, requestSerialize } = known;
  const incoming = client.makeServerStreamRequest(path, requestSerialize, asReceived, request, metadata, { deadline });
  const stop = (): void => incoming.cancel();
  call.caller.addEventListener('abort', stop, { once: true });
  let bytes = 0;
  try {
    for await (const raw of incoming as AsyncIterable<Buffer>) {
      bytes += raw.length;
      if (bytes > MAX_STREAM_BYTES) {
        const message = `the answer is longer than ${MAX_STREAM_BYTES} bytes; how much was left is not known`;
        throw new ImpoundError('content-too-large', message, { operation: call.operation, thing: call.thing });
      }
      yield answer(raw) as Answer<T>;
    }
  } catch (error) {
    throw grpcError(error, call);
  } finally {
    call.caller.removeEventListener('abort', stop);
    incoming.on('error', () => undefined); // its own cancellation
    incoming.cancel();
  }
}

/** Messages are decoded by who asked: the library's own errors do not tell what was wrong, and the bytes are kept first. */
const asReceived = (raw: Buffer): Buffer => raw;

/** What is decoded is what the notation's types say: both come from one text. */
function answers(
  definition: Definition,
  message: string,
  { responseDeserialize }: MethodDefinition<object, object>,
  { operation, thing }: GrpcCall,
): (raw: Buffer) => Answer<unknown> {
  const decode = (raw: Buffer): unknown => {
    if (hasMoreParts(definition, message, raw, MAX_PARTS)) {
      const said = `the answer has more than ${MAX_PARTS} parts and was not taken apart`;
      throw new ImpoundError('content-too-large', said, { operation, thing });
    }
    try {
      return responseDeserialize(raw);
    } catch (cause) {
      const said = `the answer is not the message it should be: ${describeError(cause)}`;
      throw new ImpoundError('engine-refused', said, { operation, thing, cause });
    }
  };
  return (raw) => ({ raw, decode: () => decode(raw) });
}

/** A FIFO or a device would hang whoever connects to it: only a socket is. */
async function assertSocket(socket: string): Promise<void> {
  const operation = 'open';
  const found = await stat(socket).catch((error: unknown) => {
    throw grpcError(error, { operation, thing: socket, seconds: 0, caller: new AbortController().signal });
  });
  if (!found.isSocket()) {
    throw new ImpoundError('engine-refused', 'what is there is not a socket', { operation, thing: socket });
  }
}
