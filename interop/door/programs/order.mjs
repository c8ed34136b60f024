// What is sent at once takes effect in the order in which it was sent.

export async function run(kit) {
  const queue = kit.queue();
  const other = kit.queue();
  const ids = async () => (await queue.getWaiting()).map(job => job.data.n);
  await Promise.all(Array.from({ length: 200 }, (_, n) => queue.add('a', { n })));
  kit.note('adds at once', await ids());
  await queue.drain();
  await Promise.all(Array.from({ length: 100 }, (_, n) => (n % 2 ? queue : other).add('a', { n })));
  const order = await ids();
  kit.note(
    'adds by two objects, each in its order',
    [0, 1].map(odd => order.filter(n => n % 2 === odd)),
  );
  await queue.drain();
  const answers = await Promise.all([
    queue.add('a', { n: 1 }, { jobId: 'x' }),
    queue.remove('x'),
    queue.add('a', { n: 2 }, { jobId: 'x' }),
    queue.getJobCounts('waiting'),
    queue.pause(),
    queue.isPaused(),
    queue.resume(),
    queue.isPaused(),
    queue.add('a', { n: 3 }, { lifo: true }),
    queue.getWaiting(),
  ]);
  kit.note(
    'mixed calls at once',
    answers.map(answer => (Array.isArray(answer) ? answer.map(job => job.data.n) : (answer?.id ?? answer))),
  );
  await queue.drain();
  const bulks = await Promise.all(
    Array.from({ length: 20 }, (_, b) =>
      queue.addBulk(Array.from({ length: 10 }, (_, i) => ({ name: 'b', data: { n: b * 10 + i } }))),
    ),
  );
  kit.note('bulks at once', [await ids(), bulks.flat().length]);
  await queue.drain();
  await Promise.all(Array.from({ length: 30 }, (_, n) => queue.add('p', { n }, { priority: 5 })));
  kit.note(
    'equal priorities',
    (await queue.getPrioritized()).map(job => job.data.n),
  );
  await Promise.all(
    Array.from({ length: 30 }, (_, n) => queue.add('d', { n }, { delay: 60000, timestamp: Date.now() })),
  );
  kit.note('delayed', (await queue.getDelayed()).length);
  await queue.drain(true);

  const done = [];
  const worker = kit.worker(
    'q',
    async job => {
      done.push(job.data.n);
    },
    { autorun: false },
  );
  await Promise.all(Array.from({ length: 100 }, (_, n) => queue.add('w', { n })));
  worker.run();
  await kit.eventually('all are done', () => done.length === 100);
  kit.note('worked in order', done);
  await worker.close();
  let most = 0;
  let now = 0;
  const wide = kit.worker(
    'q',
    async () => {
      now += 1;
      most = Math.max(most, now);
      await new Promise(resolve => setTimeout(resolve, 15));
      now -= 1;
      done.push('wide');
    },
    { concurrency: 10 },
  );
  await queue.addBulk(Array.from({ length: 60 }, (_, n) => ({ name: 'w', data: { n } })));
  await kit.eventually('all are done', () => done.length === 160);
  kit.note('ten at a time', most);
  await wide.close();
  kit.note('counts', await queue.getJobCounts());
}
