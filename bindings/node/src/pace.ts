import { ConnectionClosedError } from 'bullmq';

import { Backoff } from './backoff.js';
import { forget, later } from './time.js';

/**
 * BullMQ asks for the next job, and for events, again at once when the answer was an error that is not a lost connection. A
 * store that keeps failing (its file was deleted, the disk is full) would make a loop of that which takes a whole core and
 * fills the log. Here such a failure is handed over after a pause, which grows up to 5 s while failures follow each other;
 * the error stays what it is, so each one is still reported.
 */
export class Pace {
  private readonly backoff = new Backoff();
  private readonly pauses = new Set<() => void>();
  private isOff = false;

  async keep<T>(call: Promise<T>): Promise<T> {
    try {
      const result = await call;
      this.backoff.reset();
      return result;
    } catch (error) {
      // For a lost connection BullMQ waits by itself.
      if (!this.isOff && !(error instanceof ConnectionClosedError)) await this.pause();
      throw error;
    }
  }

  /** Ends all pauses, and makes no more: the object is being closed. */
  stop(): void {
    this.isOff = true;
    for (const end of this.pauses) end();
  }

  resume(): void {
    this.isOff = false;
  }

  private pause(): Promise<void> {
    return new Promise(resolve => {
      const end = () => {
        forget(timer);
        this.pauses.delete(end);
        resolve();
      };
      const timer = later(end, this.backoff.next());
      this.pauses.add(end);
    });
  }
}
