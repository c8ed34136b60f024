// Calls that are drawn: what one queue and one worker can be told in any order. Each millisecond has one call only, since
// what happens in the same one is ordered by Redis's own rules. Bulk retries and promotions are left out: ours keep
// priorities.

import { dice } from '../dice.mjs';
import { boom } from '../kit.mjs';

export const virtual = true;

const SEEDS = (process.env.OXMQ_DOOR_SEEDS ?? '1,2,3,4').split(',').map(Number);
const CALLS = Number(process.env.OXMQ_DOOR_CALLS ?? 300);
const HOURS = 3600000;

export async function run(kit) {
  for (const seed of SEEDS) await play(kit, seed);
}

async function play(kit, seed) {
  const { chance, below, one } = dice(seed);
  const name = `q${seed}`;
  const queue = kit.queue(name);
  const worker = kit.worker(name, null, { lockDuration: 10 * HOURS });
  const { Job } = kit.bullmq;
  const held = [];
  const ids = new Set(['j1']);
  let token = 0;
  const hold = (job, by) => {
    if (job) held.push([job, by]);
    return job?.id;
  };
  const known = async () => (await queue.getJob(one([...ids]))) ?? undefined;
  const release = () => held.splice(below(held.length), 1)[0];
  /** The job that came with an ending. */
  const after = (next, by) => (next?.[0] ? hold(Job.fromJSON(worker, next[0], next[1]), by) : next && next.slice(1));

  const options = () => ({
    ...(chance(0.3) && { delay: one([1, 40, 400, 3000]) }),
    ...(chance(0.3) && { priority: one([1, 2, 5]) }),
    ...(chance(0.15) && { lifo: true }),
    ...(chance(0.4) && { attempts: 1 + below(3) }),
    ...(chance(0.3) && { backoff: one([0, 30, { type: 'exponential', delay: 20 }]) }),
    ...(chance(0.3) && { jobId: `j${below(8)}` }),
    ...(chance(0.15) && { removeOnComplete: one([true, 2, { count: 3 }, { age: 1 }]) }),
    ...(chance(0.15) && { removeOnFail: one([true, 2]) }),
    ...(chance(0.2) && {
      deduplication: one([{ id: 'd1' }, { id: 'd2', keepLastIfActive: true }, { id: 'd3', reschedule: true }]),
    }),
  });
  const calls = {
    add: async () => {
      const { id } = await queue.add('a', { n: below(100) }, options());
      ids.add(id);
      return id;
    },
    take: async () => {
      token += 1;
      return hold(await worker.getNextJob(`t${token}`, { block: false }), `t${token}`);
    },
    complete: async () => {
      const [job, by] = release();
      return after(await job.moveToCompleted({ r: below(9) }, by, chance(0.5)), by);
    },
    fail: async () => {
      const [job, by] = release();
      return after(
        await job.moveToFailed(boom('no', below(9), one([Error, kit.bullmq.UnrecoverableError])), by, chance(0.5)),
        by,
      );
    },
    later: async () => {
      const [job, by] = release();
      await job.moveToDelayed(kit.clock.now + below(500), by);
    },
    back: async () => {
      const [job, by] = release();
      return job.moveToWait(by);
    },
    wrongToken: async () => one(held)[0].moveToCompleted(1, 'bad', false),
    promote: async () => (await known())?.promote(),
    remove: async () => queue.remove(one([...ids])),
    retry: async () =>
      (await known())?.retry(
        one(['failed', 'completed']),
        one([{}, { resetAttemptsMade: true, resetAttemptsStarted: true }]),
      ),
    changeDelay: async () => (await known())?.changeDelay(below(600)),
    changePriority: async () => (await known())?.changePriority({ priority: below(4), lifo: chance(0.3) }),
    data: async () => (await known())?.updateData({ n: below(100) }),
    progress: async () => (await known())?.updateProgress(below(100)),
    log: async () => (await known())?.log(`line ${below(100)}`),
    state: async () => queue.getJobState(one([...ids])),
    pause: async () => queue.pause(),
    resume: async () => queue.resume(),
    drain: async () => queue.drain(chance(0.5)),
    // A limit counts what BullMQ looks at, and what ours cleans, and the age of jobs that have not ended is told otherwise:
    // of those, all are asked for.
    clean: async () => {
      const state = one(['completed', 'failed', 'wait', 'delayed', 'prioritized']);
      const [grace, limit] = ['completed', 'failed'].includes(state) ? [below(100), below(4)] : [0, 0];
      return (await queue.clean(grace, limit, state)).sort();
    },
    release: async () => queue.removeDeduplicationKey(one(['d1', 'd2', 'd3'])),
    owner: async () => queue.getDeduplicationJobId(one(['d1', 'd2', 'd3'])),
    wait: async () => {
      kit.clock.advance(one([10, 100, 1000]));
    },
  };
  const weights = [
    ...Array(8).fill('add'),
    ...Array(7).fill('take'),
    ...Array(4).fill('complete'),
    ...Array(4).fill('fail'),
    'later',
    'back',
    'back',
    'wrongToken',
    'promote',
    'remove',
    'retry',
    'retry',
    'changeDelay',
    'changePriority',
    'changePriority',
    'data',
    'progress',
    'log',
    'state',
    'resume',
    'resume',
    'release',
    'owner',
    'wait',
    'wait',
    'wait',
  ];
  const rare = ['pause', 'drain', 'clean', 'clean'];
  const needsHeld = new Set(['complete', 'fail', 'later', 'back', 'wrongToken']);
  for (let call = 0; call < CALLS; call++) {
    const what = chance(0.06) ? one(rare) : one(weights);
    if (needsHeld.has(what) && !held.length) continue;
    kit.clock.advance(1);
    await kit.saw(`${seed}.${call} ${what}`, calls[what]);
    kit.note(`${seed}.${call} ${what}: events`, await kit.events(name));
    if (call % 10 === 0) kit.note(`${seed}.${call}: counts`, await queue.getJobCounts());
  }
  kit.note(`${seed}: whole`, await kit.whole(queue));
}
