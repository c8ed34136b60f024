// A paused queue: its jobs stay in `wait` and count as waiting.

export async function run(kit) {
  const queue = kit.queue();
  const told = [];
  queue.on('paused', () => told.push('paused'));
  queue.on('resumed', () => told.push('resumed'));
  queue.once('waiting', job => told.push(['waiting', job.id]));
  await queue.add('before', {});
  await kit.saw('pause', () => queue.pause());
  await kit.saw('pause again', () => queue.pause());
  await kit.saw('is it paused', () => queue.isPaused());
  await queue.add('plain', {});
  await queue.add('ranked', {}, { priority: 2 });
  await queue.add('later', {}, { delay: 30 });
  await kit.saw('counts', () => queue.getJobCounts('waiting', 'paused', 'prioritized', 'delayed', 'active'));
  await kit.saw('states', async () => [
    await queue.getJobState('1'),
    await queue.getJobState('2'),
    await queue.getJobState('3'),
  ]);
  await kit.saw('waiting', async () => (await queue.getWaiting()).map(job => job.id));
  await kit.saw('by hand', async () => kit.worker().getNextJob('t', { block: false }));
  const done = [];
  const worker = kit.worker(
    'q',
    async job => {
      done.push(job.name);
    },
    { drainDelay: 1 },
  );
  await worker.waitUntilReady();
  await kit.eventually('the delay is over', async () => Date.now() > (await queue.getJob('4')).timestamp + 60);
  kit.note('done while paused', done);
  await kit.saw('resume', () => queue.resume());
  await kit.eventually('all are done', () => done.length === 4);
  kit.note('done', [...done].sort());
  await kit.saw('resume again', () => queue.resume());
  await kit.saw('is it paused', () => queue.isPaused());
  kit.note('told', told);
  kit.note(
    'events that tell of it',
    (await kit.events()).filter(({ event }) => ['paused', 'resumed'].includes(event)),
  );
}
