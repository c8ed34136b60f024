/** The first pause is up to this long. */
const FIRST_MS = 100;

/** And none is longer than this. */
const LONGEST_MS = 5000;

/** Pauses that double up to a bound, with jitter: programs that lost the same file do not come back in one instant. */
export class Backoff {
  private step = 0;

  next(): number {
    const ms = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.step);
    if (ms < LONGEST_MS) this.step += 1;
    return Math.round(ms / 2 + (Math.random() * ms) / 2);
  }

  reset(): void {
    this.step = 0;
  }
}
