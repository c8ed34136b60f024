// Jobs whose worker is gone: found by another one, run again, and given up.

export async function run(kit) {
  const queue = kit.queue();
  await queue.add('a', {}, { jobId: 'a' });
  await queue.add('b', {}, { jobId: 'b', attempts: 3 });
  const told = [];
  // Its locks run out: nobody renews them.
  const gone = kit.worker('q', null, { lockDuration: 60 });
  const take = () => gone.getNextJob('lost', { block: false });
  kit.note('taken', [(await take()).id, (await take()).id]);
  const finder = kit.worker(
    'q',
    async job => {
      told.push(['process', job.id, job.stalledCounter, job.attemptsStarted]);
      return 'found';
    },
    { stalledInterval: 80, drainDelay: 1, maxStalledCount: 1 },
  );
  finder.on('stalled', (id, prev) => told.push(['stalled', id, prev]));
  finder.on('failed', (job, error) => told.push(['failed', job?.id, error]));
  finder.on('completed', job => told.push(['completed', job.id, job.stalledCounter]));
  await kit.eventually('both are found', async () => (await queue.getCompletedCount()) === 2);
  await kit.eventually('it is told', () => told.filter(([what]) => what === 'completed').length === 2);
  await finder.close();
  kit.note('told', told.map(line => JSON.stringify(line)).sort());
  kit.note(
    'whole',
    (await kit.whole(queue)).completed
      .map(({ id, stalledCounter, attemptsMade, attemptsStarted, returnvalue }) => ({
        id,
        stalledCounter,
        attemptsMade,
        attemptsStarted,
        returnvalue,
      }))
      .sort((x, y) => (x.id < y.id ? -1 : 1)),
  );

  told.length = 0;
  await queue.add('c', {}, { jobId: 'c', attempts: 5 });
  kit.note('taken', (await take()).id);
  const none = kit.worker(
    'q',
    async job => {
      told.push(['process', job.id]);
    },
    { stalledInterval: 80, drainDelay: 1, maxStalledCount: 0 },
  );
  none.on('failed', (job, error) => told.push(['failed', job?.id, error]));
  await kit.eventually('it is given up', () => told.some(([what]) => what === 'failed'));
  await none.close();
  kit.note('told', told);
  kit.note('whole', (await kit.whole(queue)).failed);
  const checker = kit.worker('q', null, { stalledInterval: 80 });
  await queue.add('d', {}, { jobId: 'd' });
  kit.note('taken', (await take()).id);
  await checker.startStalledCheckTimer();
  await kit.eventually('the timer finds it', async () => (await queue.getJobState('d')) === 'waiting');
  kit.note('what was told of d', (await kit.events()).filter(({ jobId }) => jobId === 'd'));
}
