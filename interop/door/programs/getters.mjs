// Everything that can be asked of a queue: ranges, counts, states, and the order of each.

import { boom } from '../kit.mjs';

export const virtual = true;

export async function run(kit) {
  const queue = kit.queue();
  const worker = kit.worker();
  const take = token => worker.getNextJob(token, { block: false });
  await kit.saw('counts of nothing', () => queue.getJobCounts());
  await kit.saw('jobs of nothing', () => queue.getJobs());
  await kit.saw('a job that is not there', () => queue.getJob('404'));
  await kit.saw('a state that is not there', () => queue.getJobState('404'));

  for (let i = 1; i <= 5; i++) {
    await queue.add('done', { i });
    const job = await take(`t${i}`);
    kit.clock.advance(3);
    if (i % 2) await job.moveToCompleted({ i }, `t${i}`, false);
    else await job.moveToFailed(boom(`no ${i}`, i), `t${i}`, false);
  }
  for (const token of ['x', 'y']) {
    await queue.add('taken', { token });
    await take(token);
    kit.clock.advance(1);
  }
  await queue.addBulk(Array.from({ length: 5 }, (_, i) => ({ name: 'waits', data: { i } })));
  for (const priority of [9, 1, 9, 2097151]) await queue.add('ranked', { priority }, { priority });
  for (const delay of [9000, 1000, 1000]) await queue.add('later', { delay }, { delay });
  await kit
    .flow()
    .add({
      name: 'parent',
      queueName: 'q',
      opts: { jobId: 'P' },
      children: [{ name: 'c', queueName: 'kids', opts: { jobId: 'C' } }],
    });

  kit.note('whole', await kit.whole(queue));
  await kit.saw('count', () => queue.count());
  await kit.saw('counts', () => queue.getJobCounts());
  await kit.saw('counts of some', () => queue.getJobCounts('waiting', 'wait', 'paused', 'completed', 'repeat'));
  await kit.saw('sum of some', () => queue.getJobCountByTypes('waiting', 'active', 'failed'));
  await kit.saw('completed', () => queue.getCompletedCount());
  await kit.saw('failed', () => queue.getFailedCount());
  await kit.saw('active', () => queue.getActiveCount());
  await kit.saw('prioritized', () => queue.getPrioritizedCount());
  await kit.saw('waiting', () => queue.getWaitingCount());
  await kit.saw('waiting for children', () => queue.getWaitingChildrenCount());
  await kit.saw('delayed', () => queue.getDelayedCount());
  for (const after of [0, 1000, 1001, 9000, 9001]) {
    await kit.saw(`delayed until +${after}`, () => queue.getDelayedCount(kit.clock.now + after));
  }
  await kit.saw('delayed until a fraction', () => queue.getDelayedCount(1.5));
  await kit.saw('per priority', () => queue.getCountsPerPriority([0, 1, 2, 9, 2097151]));

  const ids = jobs => jobs.map(job => job.id);
  const states = ['waiting', 'active', 'delayed', 'prioritized', 'completed', 'failed', 'waiting-children'];
  for (const state of states) {
    for (const asc of [true, false]) {
      for (const [start, end] of [
        [0, -1],
        [0, 0],
        [1, 2],
        [2, 99],
        [-2, -1],
        [0, -2],
      ]) {
        await kit.saw(`ids of ${state} ${start}..${end} ${asc ? 'up' : 'down'}`, async () =>
          ids(await queue.getJobs([state], start, end, asc)),
        );
      }
    }
  }
  await kit.saw('ids of one state by its name', async () => ids(await queue.getJobs('waiting')));
  await kit.saw('ids of several', async () => ids(await queue.getJobs(['completed', 'active', 'waiting'], 0, 1, true)));
  await kit.saw('ids of all', async () => ids(await queue.getJobs()));
  await kit.saw('getWaiting', async () => ids(await queue.getWaiting(1, 3)));
  await kit.saw('getWaitingChildren', async () => ids(await queue.getWaitingChildren()));
  await kit.saw('getActive', async () => ids(await queue.getActive()));
  await kit.saw('getDelayed', async () => ids(await queue.getDelayed()));
  await kit.saw('getPrioritized', async () => ids(await queue.getPrioritized()));
  await kit.saw('getCompleted', async () => ids(await queue.getCompleted()));
  await kit.saw('getFailed', async () => ids(await queue.getFailed()));
  await kit.saw('getRanges', () => queue.getRanges(['wait', 'failed'], 0, 1, true));
  await kit.saw('getRanges down', () => queue.getRanges(['wait', 'completed'], 0, -1));
  for (const id of ['1', '2', '6', '8', '13', '17', 'P', '404']) {
    await kit.saw(`state of ${id}`, () => queue.getJobState(id));
    const job = await queue.getJob(id);
    if (!job) continue;
    await kit.saw(`what ${id} is`, async () => ({
      state: await job.getState(),
      completed: await job.isCompleted(),
      failed: await job.isFailed(),
      delayed: await job.isDelayed(),
      waitingChildren: await job.isWaitingChildren(),
      active: await job.isActive(),
      waiting: await job.isWaiting(),
    }));
    const { finishedOn, processedOn } = job;
    kit.note(`times of ${id}`, { finishedOn, processedOn, name: job.queueName, prefix: job.prefix });
    kit.note(`${id} as JSON`, job.asJSON());
    kit.note(`${id} for a sandbox`, job.asJSONSandbox());
  }
  const { Job } = kit.bullmq;
  await kit.saw('Job.fromId', () => Job.fromId(queue, '1'));
  const found = await queue.getJob('2');
  await kit.saw('Job.fromJSON', () => Job.fromJSON(queue, found.asJSON(), '2'));
  await kit.saw('Job.optsFromJSON', () => Job.optsFromJSON(JSON.stringify({ attempts: 3, kl: 2 })));
  await kit.saw('toFlowEntry', () => found.toFlowEntry());
  await kit.saw('dependencies of a queue, pending', async () => {
    const { items, jobs, total } = await queue.getDependencies('P', 'pending', 0, -1);
    return { items, jobs: jobs.length, total };
  });
  await kit.saw('prometheus', () => queue.exportPrometheusMetrics({ env: 'test' }));
  await kit.saw('job counts metric', () => queue.recordJobCountsMetric('waiting', 'active'));
}
