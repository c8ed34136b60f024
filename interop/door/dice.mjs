// Numbers that are drawn, the same each time for the same seed (mulberry32).

export function dice(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    /** True so often, 0 to 1. */
    chance: p => next() < p,
    /** 0 to n - 1. */
    below: n => Math.floor(next() * n),
    one: list => list[Math.floor(next() * list.length)],
  };
}
