import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';

import { LineReader } from './lines.js';
import type { Message } from './protocol.js';
import { forget, later, uptimeMs, within } from './time.js';

/** Bytes that one answer may have. */
const LINE_MAX = 256 * 1024 * 1024;

/** Characters of the engine's last words that are kept for the error that tells of its end. */
const LAST_WORDS_MAX = 2000;

/** How long an engine may take to end after its input was closed, before it is killed. It finishes its writes meanwhile. */
const END_WAIT_MS = 5000;

/** How long the pipes of an engine that is gone may stay open before they are cut. */
const PIPES_WAIT_MS = 1000;

export interface ChildEvents {
  message(message: Message): void;
  /** What was written has left this process: more may be written. */
  drained(): void;
  /** It is gone, and everything that it said was handed over. Called once. `why` is half a sentence. */
  ended(why: string): void;
}

/** One running engine: `oxmq backend --stdio --store URL`. It ends when its input does, so never outlives this program. */
export class Child {
  private readonly process: ChildProcessWithoutNullStreams;
  private readonly lines = new LineReader(LINE_MAX);
  private readonly startedAt = uptimeMs();
  private readonly gone: Promise<void>;
  private lastWords = '';
  /** Why it was killed by us, once it was. */
  private fault: string | undefined;

  constructor(
    binary: string,
    url: string,
    folder: string,
    private readonly events: ChildEvents,
  ) {
    this.process = spawn(binary, ['backend', '--stdio', '--store', url], {
      cwd: folder,
      stdio: 'pipe',
      windowsHide: true,
    });
    this.gone = new Promise(resolve => {
      let hasEnded = false;
      const end = (why: string) => {
        if (hasEnded) return;
        hasEnded = true;
        resolve();
        events.ended(this.describe(this.fault ?? why));
      };
      this.process.on('error', error => end(`could not be started (${error.message})`));
      // Not at `exit`: answers may be left in the pipe then.
      this.process.on('close', (code, signal) => end(signal ? `was ended by ${signal}` : `ended with code ${code}`));
    });
    // Without a free file descriptor there are no pipes; `error` follows.
    if (this.process.stdin) this.connect();
  }

  get pid(): number | undefined {
    return this.process.pid;
  }

  /** Milliseconds since its start. */
  get age(): number {
    return uptimeMs() - this.startedAt;
  }

  /** Whether the pipe is full: wait for `drained`. */
  get isFull(): boolean {
    return this.process.stdin?.writableNeedDrain ?? false;
  }

  write(text: string): void {
    if (this.process.stdin?.writable) this.process.stdin.write(text);
  }

  /** Lets it finish what it has read and end. Resolves when it is gone. */
  async end(): Promise<void> {
    this.process.stdin?.end();
    const isGone = await within(
      this.gone.then(() => true),
      END_WAIT_MS,
    );
    if (!isGone) {
      this.process.kill('SIGKILL');
      await this.gone;
    }
  }

  private connect(): void {
    const { stdin, stdout, stderr } = this.process;
    stdout.on('data', (chunk: Buffer) => this.read(chunk));
    stderr.on('data', (chunk: Buffer) => {
      process.stderr.write(chunk);
      this.lastWords = (this.lastWords + chunk.toString('utf8')).slice(-LAST_WORDS_MAX);
    });
    stdin.on('drain', () => this.events.drained());
    // A pipe that breaks means that the process is going: its end says why.
    for (const pipe of [stdin, stdout, stderr]) pipe.on('error', () => {});
    this.process.on('exit', () => {
      // A process that it has started may hold them open.
      const cut = later(() => {
        stdout.destroy();
        stderr.destroy();
      }, PIPES_WAIT_MS);
      void this.gone.then(() => forget(cut));
    });
  }

  private read(chunk: Buffer): void {
    // What follows a fault cannot be trusted to answer what was asked.
    if (this.fault !== undefined) return;
    let messages: Message[];
    try {
      messages = this.lines.push(chunk).map(line => JSON.parse(line) as Message);
    } catch (error) {
      this.fault = `was ended, because it does not speak the protocol (${(error as Error).message})`;
      this.process.kill('SIGKILL');
      return;
    }
    for (const message of messages) this.events.message(message);
  }

  private describe(why: string): string {
    const words = this.lastWords.trim();
    const said = words === '' ? '' : `; its last words: ${words}`;
    return `the oxmq engine (process ${this.pid ?? 'none'}) ${why}${said}`;
  }
}
