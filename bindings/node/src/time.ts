/**
 * The real timers, taken when the package is loaded: programs that test with a faked clock replace the global ones, and
 * a restart must not wait for a clock that somebody moves by hand. (`Date.now()` is the opposite: it is read anew for
 * each call, because a faked time is what the program means.)
 */
export const later = globalThis.setTimeout;
export const forget = globalThis.clearTimeout;
export const soon = globalThis.setImmediate;

/** Monotonic milliseconds of the process, for ages; nothing that fakes `Date` moves it. */
export const uptimeMs: () => number = (() => {
  const hrtime = process.hrtime.bigint.bind(process.hrtime);
  return () => Number(hrtime() / 1_000_000n);
})();

/** Resolves with what `promise` gives, or with `undefined` once `ms` have passed; never rejects. */
export function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  return new Promise(resolve => {
    const timer = later(() => resolve(undefined), ms);
    const done = (value?: T) => {
      forget(timer);
      resolve(value);
    };
    promise.then(done, () => done());
  });
}
