import { setTimeout as pause } from 'node:timers/promises';

/** Waits until `condition` gives something truthy, and returns that. Fails after `ms`, saying what did not come true. */
export async function until(what, condition, ms = 20_000) {
  const deadline = performance.now() + ms;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`);
    await pause(10);
  }
}

/** Whether a process exists. */
export function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
