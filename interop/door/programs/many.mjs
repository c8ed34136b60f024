// More than a page of everything: jobs, children, logs. Nothing is cut.

import { boom } from '../kit.mjs';

export const virtual = true;

const N = 1300;

export async function run(kit) {
  const queue = kit.queue();
  const worker = kit.worker();
  const bulk = (name, opts) => queue.addBulk(Array.from({ length: N }, (_, i) => ({ name, data: { i }, opts })));
  const ends = list => [list.length, list[0], list.at(-1)];
  await kit.saw('added', async () => ends((await bulk('w')).map(job => job.id)));
  await kit.saw('waiting', async () => ends((await queue.getWaiting()).map(job => job.data.i)));
  await kit.saw('their ids', async () => ends((await queue.getRanges(['wait'], 0, -1, true))[0] ?? []));
  await kit.saw('a far page', async () => (await queue.getWaiting(1200, 1204)).map(job => job.data.i));
  await kit.saw('from the end', async () => (await queue.getJobs(['waiting'], -3, -1, true)).map(job => job.data.i));
  await kit.saw('all jobs', async () => (await queue.getJobs()).length);
  await kit.saw('counts', () => queue.getJobCounts());
  for (let i = 0; i < 20; i++) {
    const job = await worker.getNextJob('t', { block: false });
    await job.moveToFailed(boom('no'), 't');
  }
  await kit.saw('retried in small steps', async () => {
    await queue.retryJobs({ count: 3 });
    return queue.getJobCounts('failed', 'waiting');
  });
  await kit.saw('cleaned', async () => (await queue.clean(0, 0, 'wait')).length);
  await bulk('d', { delay: 5000 });
  await kit.saw('delayed', async () => ends((await queue.getDelayed()).map(job => job.data.i).sort((a, b) => a - b)));
  await kit.saw('promoted in small steps', async () => {
    await queue.promoteJobs({ count: 100 });
    return queue.getJobCounts('delayed', 'waiting');
  });
  await bulk('p', { priority: 3 });
  await kit.saw('prioritized', async () => ends((await queue.getPrioritized()).map(job => job.data.i)));
  await kit.saw('per priority', () => queue.getCountsPerPriority([0, 3]));
  const logged = await queue.add('logs', {});
  for (let i = 0; i < 1100; i += 100)
    await Promise.all(Array.from({ length: 100 }, (_, n) => logged.log(`line ${i + n}`)));
  await kit.saw('logs', async () => {
    const { logs, count } = await queue.getJobLogs(logged.id);
    return [count, ...ends(logs)];
  });
  await kit.saw('the last logs', () => queue.getJobLogs(logged.id, 0, 2, false));
  await kit.saw('obliterated in small steps', async () => {
    await queue.obliterate({ count: 100 });
    return queue.getJobCounts();
  });

  await kit
    .flow()
    .add({
      name: 'parent',
      queueName: 'parents',
      opts: { jobId: 'P' },
      children: Array.from({ length: N }, (_, i) => ({
        name: 'kid',
        queueName: 'kids',
        data: { i },
        opts: { jobId: `k${i}` },
      })),
    });
  const parents = kit.queue('parents');
  const parent = await parents.getJob('P');
  await kit.saw('unprocessed', async () => (await parent.getDependencies()).unprocessed.length);
  await kit.saw('their count', () => parent.getDependenciesCount());
  const kids = kit.worker('kids');
  for (let i = 0; i < N; i++) {
    const kid = await kids.getNextJob('t', { block: false });
    await kid.moveToCompleted(i, 't', false);
  }
  await kit.saw('values', async () => Object.keys(await parent.getChildrenValues()).length);
  await kit.saw('their sum', async () =>
    Object.values(await parent.getChildrenValues()).reduce((sum, n) => sum + n, 0),
  );
  await kit.saw('state', () => parent.getState());
  await kit.saw('all by pages', async () => {
    const all = new Set();
    let cursor = 0;
    for (let pages = 0; pages < 1000; pages++) {
      const { processed, nextProcessedCursor } = await parent.getDependencies({ processed: { cursor, count: 50 } });
      for (const key of Object.keys(processed)) all.add(key);
      if (!nextProcessedCursor) return all.size;
      cursor = nextProcessedCursor;
    }
    return 'no end';
  });
  await kit.saw('all of the queue', async () => {
    const { items, total } = await parents.getDependencies('P', 'processed', 0, -1);
    return [items.length, total];
  });
}
