const NEWLINE = 0x0a;

/**
 * Cuts a stream of bytes into lines. Each byte is looked at once and copied at most twice, however the stream was cut
 * into chunks: an answer of many megabytes arrives in thousands of them.
 */
export class LineReader {
  private parts: Buffer[] = [];
  private size = 0;

  /** `limit`: bytes that one line may have; V8 cannot hold a string much longer than 512 MiB. */
  constructor(private readonly limit: number) {}

  /** The lines that `chunk` completes, without their newlines. Throws when a line is longer than the limit. */
  push(chunk: Buffer): string[] {
    const end = chunk.lastIndexOf(NEWLINE);
    if (end < 0) {
      this.keep(chunk);
      return [];
    }
    this.keep(chunk.subarray(0, end));
    const whole = this.parts.length === 1 ? this.parts[0]! : Buffer.concat(this.parts, this.size);
    this.parts = [];
    this.size = 0;
    this.keep(chunk.subarray(end + 1));
    return whole.toString('utf8').split('\n');
  }

  private keep(part: Buffer): void {
    if (part.length === 0) return;
    this.parts.push(part);
    this.size += part.length;
    if (this.size > this.limit) throw new Error(`a line is longer than ${this.limit} bytes`);
  }
}
