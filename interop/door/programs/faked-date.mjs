// A program that fakes `Date` and moves it by days and years, with a worker that runs.

export const virtual = true;

export async function run(kit) {
  const queue = kit.queue();
  const done = [];
  const worker = kit.worker(
    'q',
    async job => {
      done.push([job.name, Date.now() - 1700000000000]);
      return Date.now();
    },
    { drainDelay: 1 },
  );
  await worker.waitUntilReady();
  const settled = n =>
    kit.eventually(`${n} are done`, async () => done.length >= n && (await queue.getActiveCount()) === 0);
  await queue.add('now', {});
  await settled(1);
  kit.clock.advance(365 * 86400000);
  await queue.add('a year later', {});
  await settled(2);
  await queue.add('in a day', {}, { delay: 86400000 });
  await queue.add('in two days', {}, { delay: 2 * 86400000 });
  kit.note('not yet', await queue.getDelayedCount());
  kit.clock.advance(86400000);
  // A marker wakes the worker, which then sees what has become due.
  await queue.add('wakes', {});
  await settled(4);
  kit.note('one is left', await queue.getDelayedCount());
  await queue.upsertJobScheduler('daily', { pattern: '0 0 6 * * *', tz: 'UTC' }, { name: 'daily' });
  for (let day = 0; day < 4; day++) {
    kit.clock.advance(86400000);
    await queue.add('wakes', {});
    const before = day === 0 ? 7 : 7 + 2 * day;
    await settled(before);
  }
  await worker.close();

  let release;
  const slow = kit.worker(
    'slow',
    () =>
      new Promise(resolve => {
        release = resolve;
      }),
    { drainDelay: 1 },
  );
  const slowly = kit.queue('slow');
  await slowly.add('a year long', {}, { jobId: 'year' });
  await kit.eventually('it works', () => release);
  kit.clock.advance(365 * 86400000);
  release('at last');
  await kit.eventually('it ends', async () => (await slowly.getJobState('year')) === 'completed');
  await slow.close();
  const { processedOn, finishedOn, attemptsStarted, stalledCounter, returnvalue } = await slowly.getJob('year');
  kit.note('a job of a year', { lasted: finishedOn - processedOn, attemptsStarted, stalledCounter, returnvalue });
  kit.note('done', done.map(([name]) => name).sort());
  kit.note(
    'finished',
    (await queue.getCompleted())
      .map(job => [job.name, job.finishedOn, job.processedOn, job.timestamp])
      .map(line => JSON.stringify(line))
      .sort(),
  );
  kit.note('schedulers', await queue.getJobSchedulers());
  kit.note('counts', await queue.getJobCounts());
}
