// Cancellation: the signal that a processor gets, and what becomes of its job.

export async function run(kit) {
  const queue = kit.queue();
  const told = [];
  const worker = kit.worker(
    'q',
    async (job, token, signal) => {
      told.push(['starts', job.name, signal.aborted]);
      if (job.name === 'quick') return 'quick';
      await new Promise((resolve, reject) => {
        signal.addEventListener('abort', () =>
          reject(
            job.name === 'for good'
              ? new kit.bullmq.UnrecoverableError(`stopped: ${signal.reason}`)
              : new Error(`stopped: ${signal.reason}`),
          ),
        );
      });
      return 'never';
    },
    { concurrency: 3 },
  );
  worker.on('failed', (job, error) => told.push(['failed', job.name, error, job.attemptsMade]));
  worker.on('completed', job => told.push(['completed', job.name]));
  const started = name =>
    kit.eventually(`${name} starts`, () => told.some(([what, who]) => what === 'starts' && who === name));
  const failed = (name, n = 1) =>
    kit.eventually(`${name} fails`, () => told.filter(([what, who]) => what === 'failed' && who === name).length === n);
  kit.note('one that is not there', worker.cancelJob('404'));
  await queue.add('one', {}, { jobId: 'one' });
  await started('one');
  kit.note('cancel', worker.cancelJob('one', 'because'));
  await failed('one');
  await queue.add('for good', {}, { jobId: 'good', attempts: 3 });
  await started('for good');
  kit.note('cancel for good', worker.cancelJob('good'));
  await failed('for good');
  await queue.add('a', {}, { jobId: 'a' });
  await started('a');
  await queue.add('b', {}, { jobId: 'b' });
  await started('b');
  worker.cancelAllJobs('all of you');
  await failed('a');
  await failed('b');
  await queue.add('quick', {});
  await kit.eventually('quick ends', () => told.some(([what]) => what === 'completed'));
  kit.note('cancel what has ended', worker.cancelJob('1'));
  kit.note('told', told.map(line => JSON.stringify(kit.normal(line))).sort());
  await kit.eventually('nothing is active', async () => (await queue.getActiveCount()) === 0);
  kit.note('whole', await kit.whole(queue));
}
