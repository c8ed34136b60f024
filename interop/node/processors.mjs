// What workers do, chosen by the job's name: the twin of `src/processors.rs`. The job's data says the rest.

import { connection } from './connect.mjs';
import { gates } from './gates.mjs';

/** `tell(event)` writes an unsolicited line; `library` is the BullMQ in use. */
export function processors({ tell, library, queueOf }) {
  const { DelayedError, Queue, UnrecoverableError, WaitingChildrenError, Worker } = library;
  const hold = job => {
    tell({ event: 'holding', jobId: job.id, gate: job.data.gate });
    return gates.wait(job.data.gate);
  };
  const family = async job => ({
    values: Object.values(await job.getChildrenValues()).sort(),
    ignored: Object.values(await job.getIgnoredChildrenFailures()).sort(),
    started: job.attemptsStarted,
    made: job.attemptsMade,
  });
  const byName = {
    // Gives back what it got.
    echo: async job => job.data,
    // Gives `data.value`; nothing if there is none.
    value: async job => job.data.value,
    // Fails with `data.message`.
    fail: async job => {
      throw new Error(job.data.message);
    },
    // Fails `data.fails` times, once the gate `data.gate` is open if there is one; then tells how often it was started.
    throws: async job => {
      if (job.attemptsMade < job.data.fails && job.data.gate) await hold(job);
      if (job.attemptsMade < job.data.fails) throw new Error(`try ${job.attemptsMade + 1} in node`);
      return { made: job.attemptsMade, side: 'node', started: job.attemptsStarted };
    },
    // Fails for good with `data.message`.
    unrecoverable: async job => {
      throw new UnrecoverableError(job.data.message);
    },
    // Tells `data.progress` and the lines `data.lines`.
    note: async job => {
      await job.updateProgress(job.data.progress);
      for (const line of job.data.lines) await job.log(line);
      return 'noted';
    },
    // Waits until the gate `data.gate` is opened.
    hold: async job => {
      await hold(job);
      return 'released';
    },
    // Works for `data.ms`.
    slow: async job => {
      await new Promise(resolve => setTimeout(resolve, job.data.ms));
      return 'slow';
    },
    // At its first start asks to be run again after `data.ms`.
    later: async (job, token) => {
      if (job.attemptsStarted === 1) {
        await job.moveToDelayed(Date.now() + job.data.ms, token);
        throw new DelayedError();
      }
      return { started: job.attemptsStarted, made: job.attemptsMade };
    },
    // Tells what became of its children; with `data.leaves` once it has removed those that are pending.
    family: async job => {
      if (job.data.leaves) await job.removeUnprocessedChildren();
      return family(job);
    },
    // At its first start adds the jobs `data.children` ({name, data, opts}) to the queue `data.queue` as its children, and waits
    // for them; then tells what became of them.
    spawn: async (job, token) => {
      if (job.attemptsStarted === 1) {
        const queue = new Queue(job.data.queue, { connection: { ...connection } });
        const parent = { id: job.id, queue: job.queueQualifiedName };
        for (const { name, data, opts } of job.data.children) await queue.add(name, data, { ...opts, parent });
        await queue.close();
      }
      if (await job.moveToWaitingChildren(token)) throw new WaitingChildrenError();
      return family(job);
    },
    // At its first start says that some service wants a pause of `data.ms`.
    limit: async job => {
      if (job.attemptsStarted === 1) {
        await queueOf().rateLimit(job.data.ms);
        throw Worker.RateLimitError();
      }
      return { started: job.attemptsStarted, made: job.attemptsMade };
    },
  };
  return async (job, token) => {
    tell({ event: 'run', jobId: job.id, name: job.name, started: job.attemptsStarted });
    const processor = byName[job.name] ?? byName.echo;
    return processor(job, token);
  };
}
