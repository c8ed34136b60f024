// A clock that programs move: what BullMQ takes for the present.

/** Where it begins. */
export const T0 = 1700000000000;

const Real = Date;

/** The present as the machine has it. */
export const realNow = () => Real.now();

/** Replaces `Date` in this process. Timers are the machine's still. */
export function fakeDate() {
  const clock = {
    now: T0,
    advance(ms) {
      this.now += ms;
    },
  };
  globalThis.Date = class extends Real {
    constructor(...given) {
      if (given.length) super(...given);
      else super(clock.now);
    }
    static now() {
      return clock.now;
    }
  };
  return clock;
}

/** Gives the process its own clock back. */
export function realDate() {
  globalThis.Date = Real;
}
