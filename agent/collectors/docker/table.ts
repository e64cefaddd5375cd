// A table of JSON lines kept in memory within a bound until it is stored.
import { type GapReport, gap } from '../../../capture/index.ts';
import { jsonLine } from '../../../evidence/index.ts';

const TABLE_BYTES = 8 * 1_048_576;

export class Table {
  readonly #lines: Buffer[] = [];
  #size = 0;
  #left = 0;

  push(row: unknown): void {
    const line = jsonLine(row);
    if (this.#size + line.length > TABLE_BYTES) {
      this.#left++;
      return;
    }
    this.#lines.push(line);
    this.#size += line.length;
  }

  /** The rows as chunks of bytes. */
  async *content(): AsyncGenerator<Uint8Array> {
    yield Buffer.concat(this.#lines.splice(0));
  }

  /** A gap where the bound bit. */
  gap(path: string): GapReport | undefined {
    const why = this.truncated();
    return why === undefined ? undefined : gap('truncated', path, why);
  }

  truncated(): string | undefined {
    if (this.#left === 0) return undefined;
    return `${this.#left} rows were left out beyond ${TABLE_BYTES} bytes; the raw answers in raw.tar.zst have them`;
  }
}
