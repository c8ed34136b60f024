// Moving jobs about: delays, priorities, promotion, retries, removal, data, progress and logs.

import { boom } from '../kit.mjs';

export const virtual = true;

export async function run(kit) {
  const queue = kit.queue();
  const worker = kit.worker();
  const take = token => worker.getNextJob(token, { block: false });
  const step = async (label, fn) => {
    await kit.saw(label, fn);
    await kit.sawEvents(`${label}: events`);
  };

  const late = await queue.add('late', { v: 1 }, { delay: 5000 });
  await step('change a delay', () => late.changeDelay(9000));
  kit.clock.advance(100);
  await step('change it again', () => late.changeDelay(50));
  await step('promote', () => late.promote());
  await step('promote twice', () => late.promote());
  await step('change the delay of one that waits', () => late.changeDelay(50));
  await step('rank it', () => late.changePriority({ priority: 4 }));
  await step('rank it otherwise', () => late.changePriority({ priority: 2 }));
  await step('no rank any more, first', () => late.changePriority({ priority: 0, lifo: true }));
  await queue.add('other', {}, { priority: 2 });
  await queue.add('other', {}, { priority: 2 });
  await step('before its equals', async () => (await queue.getJob('3')).changePriority({ priority: 2, lifo: true }));
  kit.note('whole after ranks', await kit.whole(queue));

  await step('update data', () => late.updateData({ v: 2, more: ['x'] }));
  for (const progress of [42, 'almost', true, { part: 1 }])
    await step(`progress ${JSON.stringify(progress)}`, () => late.updateProgress(progress));
  await step('progress by the queue', () => queue.updateJobProgress(late.id, { by: 'queue' }));
  await step('log', () => late.log('one'));
  await step('log', () => late.log('two'));
  await step('log by the queue', () => queue.addJobLog(late.id, 'three', 2));
  await step('log by the class', () => kit.bullmq.Job.addJobLog(queue, late.id, 'four'));
  await step('logs', () => queue.getJobLogs(late.id));
  await step('logs, a page', () => queue.getJobLogs(late.id, 1, 1));
  await step('logs from the end', () => queue.getJobLogs(late.id, 0, 1, false));
  await step('clear all but one', () => late.clearLogs(1));
  await step('logs', () => queue.getJobLogs(late.id));
  await step('clear', () => late.clearLogs());
  await step('logs', () => queue.getJobLogs(late.id));

  const first = await take('t1');
  await step('take', () => first?.id);
  await step('promote an active job', () => first.promote());
  await step('rank an active job', () => first.changePriority({ priority: 3 }));
  await step('remove a locked job', () => first.remove());
  await step('remove a locked job by the queue', () => queue.remove(first.id));
  await step('retry an active job', () => first.retry());
  await step('extend', () => first.extendLock('t1', 60000));
  await step('extend with a wrong token', () => first.extendLock('bad', 60000));
  await step('extend by the worker', () =>
    worker.extendJobLocks([first.id, first.id, '404'], ['t1', 'bad', 'x'], 60000),
  );
  kit.clock.advance(5);
  await step('fail', async () => {
    await first.moveToFailed(boom('no'), 't1');
  });
  await step('fail again', async () => {
    await first.moveToFailed(boom('no'), 't1');
  });
  await step('retry', () => first.retry());
  await step('retry twice', () => first.retry());
  const again = await take('t2');
  kit.note('taken again', kit.job(again));
  await step('complete', async () => {
    await again.moveToCompleted('fine', 't2', false);
  });
  await step('retry a completed one as a failed one', () => again.retry());
  await step('retry a completed one', () =>
    again.retry('completed', { resetAttemptsMade: true, resetAttemptsStarted: true }),
  );
  kit.note('whole after retries', await kit.whole(queue));

  await step('remove', () => again.remove());
  await step('remove what is gone', () => again.remove());
  await step('remove what is gone by the queue', () => queue.remove('404'));
  for (const [label, fn] of Object.entries({
    updateData: job => job.updateData({}),
    updateProgress: job => job.updateProgress(1),
    log: job => job.log('x'),
    changeDelay: job => job.changeDelay(1),
    changePriority: job => job.changePriority({ priority: 1 }),
    promote: job => job.promote(),
    retry: job => job.retry(),
    moveToWait: job => job.moveToWait('t'),
    moveToDelayed: job => job.moveToDelayed(kit.clock.now + 5, 't'),
    complete: job => job.moveToCompleted(1, 't', false),
    fail: job => job.moveToFailed(boom('x'), 't'),
    extendLock: job => job.extendLock('t', 1000),
    waitForChildren: job => job.moveToWaitingChildren('t'),
    state: job => job.getState(),
    removeChildDependency: job => job.removeChildDependency(),
    clearLogs: job => job.clearLogs(),
  }))
    await step(`${label} of a job that is gone`, () => fn(again));

  await queue.add('later', {}, { delay: 4000 });
  await queue.add('later', {}, { delay: 4000, priority: 3 });
  await step('promote all', () => queue.promoteJobs());
  kit.note('promoted', { waiting: await queue.getRanges(['wait'], 0, -1, true), counts: await queue.getJobCounts() });
  await queue.add('a', {});
  await step('drain', () => queue.drain());
  await queue.add('a', {});
  await queue.add('b', {}, { delay: 5 });
  await step('drain with the delayed', () => queue.drain(true));
  kit.note('whole after drains', await kit.whole(queue));
}
