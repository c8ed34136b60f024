import type { JobsOptions, WorkerOptions } from 'bullmq';

/**
 * Parameters as the inside of a JSON object. What is `undefined` or NaN is left out, and means BullMQ's default: for a time
 * that the engine has to compute it hands over NaN.
 *
 * Throws what `JSON.stringify` throws: a job's data may be cyclic, or hold a BigInt.
 */
export function inside(params: object): string {
  let json = JSON.stringify(params);
  // JSON has no NaN and writes `null`. Looked at closely only where there is one, as that takes several times as long.
  if (json.includes(':null')) json = JSON.stringify(params, (_, value: unknown) => (Number.isNaN(value) ? undefined : value));
  return json.slice(1, -1);
}

/** JSON text of a value; nothing for `undefined`. */
export function text(value: unknown): string | undefined {
  return JSON.stringify(value);
}

/** Of a job that is being moved the engine has everything but what its owner decided. */
export function moved(job: { id?: string | undefined; opts?: JobsOptions }): object {
  const opts: JobsOptions = job.opts ?? {};
  return {
    id: job.id,
    opts: {
      attempts: opts.attempts,
      lifo: opts.lifo,
      failParentOnFailure: opts.failParentOnFailure,
      continueParentOnFailure: opts.continueParentOnFailure,
      ignoreDependencyOnFailure: opts.ignoreDependencyOnFailure,
      removeDependencyOnFailure: opts.removeDependencyOnFailure,
    },
  };
}

/** The worker's options as they are now: programs change them while it runs. */
export function context(opts: Partial<WorkerOptions>): object {
  const { limiter, metrics } = opts;
  return {
    name: opts.name,
    lockDuration: opts.lockDuration,
    limiter: limiter && { max: limiter.max, duration: limiter.duration },
    removeOnComplete: opts.removeOnComplete,
    removeOnFail: opts.removeOnFail,
    maxStalledCount: opts.maxStalledCount,
    stalledInterval: opts.stalledInterval,
    metrics: metrics && { maxDataPoints: metrics.maxDataPoints },
  };
}

/** `[job, id, limit, until]`: where there is nothing, BullMQ expects `undefined` behind the job. */
export function next(tuple: unknown): any[] | undefined {
  if (!Array.isArray(tuple)) return undefined;
  return tuple.map((item, index) => (index > 0 && item === null ? undefined : item));
}
