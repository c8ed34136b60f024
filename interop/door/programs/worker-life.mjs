// A running worker from its start to its end: what it tells, in which order, and what it leaves behind.

export async function run(kit) {
  const queue = kit.queue();
  const events = kit.queueEvents();
  await events.waitUntilReady();
  const told = [];
  const worker = kit.worker(
    'q',
    async job => {
      if (job.name === 'bad') throw new Error('no good');
      if (job.name === 'last') throw new kit.bullmq.UnrecoverableError('never again');
      if (job.name === 'talks') {
        await job.updateProgress(50);
        await job.log('half way');
        await job.updateData({ changed: true });
      }
      return { done: job.name };
    },
    { autorun: false, name: 'its-name', drainDelay: 1 },
  );
  worker.on('ready', () => told.push(['ready']));
  worker.on('active', (job, prev) => told.push(['active', job.id, prev, job.attemptsStarted]));
  worker.on('completed', (job, value, prev) =>
    told.push(['completed', job.id, value, prev, job.attemptsMade, typeof job.finishedOn]),
  );
  worker.on('failed', (job, error, prev) => told.push(['failed', job?.id, error, prev, job?.attemptsMade]));
  worker.on('progress', (job, progress) => told.push(['progress', job.id, progress]));
  worker.on('drained', () => told.push(['drained']));
  for (const name of ['paused', 'resumed', 'closed']) worker.on(name, () => told.push([name]));
  worker.on('closing', text => told.push(['closing', text]));
  const has = (...wanted) => told.some(line => wanted.every((item, i) => line[i] === item));

  await worker.waitUntilReady();
  kit.note('at first', {
    running: worker.isRunning(),
    paused: worker.isPaused(),
    concurrency: worker.concurrency,
    backend: typeof worker.getBackend(),
  });
  await queue.add('good', {});
  const running = worker.run();
  await kit.saw('run twice', () => worker.run());
  await kit.eventually('1 completes', () => has('completed', '1'));
  await kit.eventually('the queue is drained', () => has('drained'));
  await queue.add('talks', {});
  await kit.eventually('2 completes', () => has('completed', '2'));
  await queue.add('bad', {}, { attempts: 2 });
  await kit.eventually(
    '3 fails twice',
    () => told.filter(line => line[0] === 'failed' && line[1] === '3').length === 2,
  );
  await queue.add('last', {}, { attempts: 5 });
  await kit.eventually('4 fails', () => has('failed', '4'));
  await queue.add('good', {}, { delay: 60 });
  await kit.eventually('5 completes', () => has('completed', '5'));
  await queue.add('bad', {}, { attempts: 2, backoff: { type: 'fixed', delay: 40 } });
  await kit.eventually(
    '6 fails twice',
    () => told.filter(line => line[0] === 'failed' && line[1] === '6').length === 2,
  );

  await worker.pause();
  kit.note('paused', { running: worker.isRunning(), paused: worker.isPaused() });
  await queue.add('good', {});
  kit.note('waits meanwhile', await queue.getWaitingCount());
  worker.resume();
  await kit.eventually('7 completes', () => has('completed', '7'));
  worker.concurrency = 3;
  kit.note('concurrency', worker.concurrency);
  kit.note('one worker', await queue.getWorkersCount());
  await worker.close();
  await running;
  kit.note('at last', {
    running: worker.isRunning(),
    paused: worker.isPaused(),
    closing: worker.closing !== undefined,
  });
  // When an empty queue is told as drained depends on who was faster.
  kit.note(
    'told',
    told.filter(([name]) => name !== 'drained'),
  );
  kit.note('whole', await kit.whole(queue));
  kit.note('logs', await queue.getJobLogs('2'));
  await kit.sawEvents();
}
