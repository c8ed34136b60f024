// Workers that wait: woken by a job, by its time, by a resumed queue; several of them share.

export async function run(kit) {
  const queue = kit.queue();
  const hand = kit.worker('q', null, { drainDelay: 5 });
  const soon = async (label, promise, ms = 4000) => {
    const begun = performance.now();
    const job = await promise;
    kit.note(label, [job?.name, performance.now() - begun < ms]);
    if (job) await job.moveToCompleted(1, 't', false);
  };
  // BullMQ's own answer may be nothing at first, if the queue was told of a job that is gone.
  const next = async () => {
    for (let tries = 0; tries < 20; tries++) {
      const job = await hand.getNextJob('t');
      if (job) return job;
    }
    return undefined;
  };
  let take = next();
  await hand.delay(40);
  await queue.add('woken', {});
  await soon('woken by a job', take);
  take = next();
  await hand.delay(40);
  await queue.add('urgent', {}, { priority: 1 });
  await soon('woken by a priority', take);
  await queue.add('later', {}, { delay: 60 });
  take = next();
  await soon('woken by its time', take);
  await queue.pause();
  await queue.add('paused', {});
  take = next();
  await hand.delay(40);
  await queue.resume();
  await soon('woken by the end of a pause', take);
  await hand.close();

  const done = new Map();
  const workers = Array.from({ length: 4 }, (_, w) =>
    kit.worker(
      'q',
      async job => {
        done.set(job.data.n, (done.get(job.data.n) ?? 0) + 1);
        await new Promise(resolve => setTimeout(resolve, 1));
        return w;
      },
      { concurrency: 2, drainDelay: 1 },
    ),
  );
  await Promise.all(Array.from({ length: 200 }, (_, n) => queue.add('shared', { n })));
  await kit.eventually('all are done', async () => (await queue.getCompletedCount()) === 204);
  kit.note('each once', [done.size, Math.max(...done.values())]);
  await Promise.all(workers.map(worker => worker.close()));

  await queue.setGlobalConcurrency(2);
  let now = 0;
  let most = 0;
  const wide = kit.worker(
    'q',
    async () => {
      now += 1;
      most = Math.max(most, now);
      await new Promise(resolve => setTimeout(resolve, 5));
      now -= 1;
    },
    { concurrency: 8, drainDelay: 1 },
  );
  await queue.addBulk(Array.from({ length: 30 }, (_, n) => ({ name: 'limited', data: { n } })));
  await kit.eventually('all are done', async () => (await queue.getCompletedCount()) === 234);
  kit.note('two at a time', most);
  await wide.close();
  await queue.removeGlobalConcurrency();

  const times = [];
  const slow = kit.worker(
    'q',
    async () => {
      times.push(performance.now());
    },
    { limiter: { max: 2, duration: 150 }, drainDelay: 1 },
  );
  await queue.addBulk(Array.from({ length: 6 }, (_, n) => ({ name: 'rate', data: { n } })));
  await kit.eventually('all are done', () => times.length === 6);
  kit.note('two in their time', times.at(-1) - times[0] > 250);
  await slow.close();
}
