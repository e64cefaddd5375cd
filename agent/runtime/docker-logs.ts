// A container's log as the engine streams it: frames taken apart, and the newest bytes kept within a bound.

export type LogStream = 'stdout' | 'stderr' | 'tty';

/** The newest part of a log. `lines` counts what came, also what was dropped; `dropped` are bytes before the kept ones. */
export interface LogTail {
  readonly streams: ReadonlyMap<LogStream, Buffer>;
  readonly lines: number;
  readonly dropped: number;
  /** What the engine said in the stream when it could not go on. */
  readonly engineError?: string;
}

interface Piece {
  readonly stream: LogStream;
  readonly bytes: Buffer;
}

const HEADER = 8;
/** Byte 0 of a frame's header: https://docs.docker.com/reference/api/engine/ "Stream format". 3 is the engine's own. */
const STREAMS: readonly (LogStream | undefined)[] = ['stdout', 'stdout', 'stderr'];
const ENGINE = 3;
const ENGINE_ERROR_BYTES = 1000;
const NEWLINE = 10;
const EMPTY: Piece = { stream: 'stdout', bytes: Buffer.alloc(0) };

/**
 * Collects a log stream in chunks of any size. A container without a terminal is multiplexed in frames (one byte
 * stream, three zero, four length); bytes that are not such frames are taken as a terminal's raw stream.
 */
export class LogCollector {
  readonly #limit: number;
  readonly #pieces: Piece[] = [];
  #first = 0;
  #kept = 0;
  #dropped = 0;
  #lines = 0;
  #raw: boolean;
  #header = Buffer.alloc(0);
  #stream: LogStream | 'engine' = 'stdout';
  #left = 0;
  #engineError = '';

  constructor(limit: number, raw: boolean) {
    this.#limit = limit;
    this.#raw = raw;
  }

  push(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#raw) {
        for (let at = rest.indexOf(NEWLINE); at >= 0; at = rest.indexOf(NEWLINE, at + 1)) this.#lines++;
        this.#keep('tty', rest);
        return;
      }
      if (this.#left === 0) {
        const taken = Math.min(HEADER - this.#header.length, rest.length);
        this.#header = Buffer.concat([this.#header, rest.subarray(0, taken)]);
        rest = rest.subarray(taken);
        if (this.#header.length === HEADER) this.#begin();
        else if (!plausible(this.#header)) this.#fallBack();
        continue;
      }
      const piece = rest.subarray(0, this.#left);
      this.#left -= piece.length;
      rest = rest.subarray(piece.length);
      if (this.#stream === 'engine') this.#engineError += piece.toString('utf8').slice(0, ENGINE_ERROR_BYTES);
      else this.#keep(this.#stream, piece);
    }
  }

  end(): LogTail {
    if (this.#header.length > 0) this.#fallBack();
    const streams = new Map<LogStream, Buffer>();
    for (const stream of ['stdout', 'stderr', 'tty'] as const) {
      const pieces = this.#pieces.slice(this.#first).filter((piece) => piece.stream === stream);
      if (pieces.length > 0) streams.set(stream, Buffer.concat(pieces.map((piece) => piece.bytes)));
    }
    const tail = { streams, lines: this.#lines, dropped: this.#dropped };
    return this.#engineError === '' ? tail : { ...tail, engineError: this.#engineError.slice(0, ENGINE_ERROR_BYTES) };
  }

  #begin(): void {
    if (!plausible(this.#header)) {
      this.#fallBack();
      return;
    }
    const kind = this.#header[0] ?? 0;
    this.#stream = kind === ENGINE ? 'engine' : (STREAMS[kind] ?? 'stdout');
    this.#left = this.#header.readUInt32BE(4);
    this.#header = Buffer.alloc(0);
    this.#lines++;
  }

  /** What looked like a header is content. */
  #fallBack(): void {
    this.#raw = true;
    const bytes = this.#header;
    this.#header = Buffer.alloc(0);
    this.#keep('tty', bytes);
  }

  #keep(stream: LogStream, bytes: Buffer): void {
    this.#pieces.push({ stream, bytes });
    this.#kept += bytes.length;
    while (this.#kept > this.#limit) this.#dropOldest();
    if (this.#first > 4096 && this.#first * 2 > this.#pieces.length) {
      this.#pieces.splice(0, this.#first);
      this.#first = 0;
    }
  }

  /** Whole frames go, so that what is kept begins with the engine's time stamp; a terminal's stream is cut anywhere. */
  #dropOldest(): void {
    const piece = this.#pieces[this.#first] ?? EMPTY;
    const last = this.#first === this.#pieces.length - 1;
    const divisible = piece.stream === 'tty' || last;
    const gone = divisible ? Math.min(this.#kept - this.#limit, piece.bytes.length) : piece.bytes.length;
    const left = piece.bytes.subarray(gone);
    this.#pieces[this.#first] = left.length === 0 ? EMPTY : { stream: piece.stream, bytes: left };
    if (left.length === 0) this.#first++;
    this.#kept -= gone;
    this.#dropped += gone;
  }
}

function plausible(header: Buffer): boolean {
  return header[0] !== undefined && header[0] <= ENGINE && header.subarray(1, 4).every((byte) => byte === 0);
}
