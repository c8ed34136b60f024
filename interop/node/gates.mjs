// Gates that the test opens: what makes a job last exactly as long as it should.

const open = new Set();
const waiting = new Map();

export const gates = {
  /** Resolves once the gate is open; it stays open. */
  wait(name) {
    if (open.has(name)) return Promise.resolve();
    return new Promise(resolve => waiting.set(name, [...(waiting.get(name) ?? []), resolve]));
  },
  open(name) {
    open.add(name);
    for (const resolve of waiting.get(name) ?? []) resolve();
    waiting.delete(name);
  },
};
