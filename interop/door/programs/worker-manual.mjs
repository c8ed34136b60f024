// A worker driven by hand: taking, locks, finishing with and without the next job, retries with each backoff.

import { boom } from '../kit.mjs';

export const virtual = true;

export async function run(kit) {
  const queue = kit.queue();
  const worker = kit.worker('q', null, {
    settings: { backoffStrategy: (made, type) => (type === 'stop' ? -1 : type === 'zero' ? 0 : made * 11) },
  });
  await worker.waitUntilReady();
  kit.note('timeouts', [worker.minimumBlockTimeout > 0, worker.maximumBlockTimeout]);
  const take = token => worker.getNextJob(token, { block: false });
  const step = async (label, fn) => {
    await kit.saw(label, fn);
    await kit.sawEvents(`${label}: events`);
  };
  await step('take from nothing', () => take('t0'));
  for (const name of ['a', 'b', 'c']) await queue.add(name, { name });
  const a = await take('t1');
  kit.note('taken', kit.job(a));
  await step('complete and take the next', async () => {
    const next = await a.moveToCompleted({ r: 1 }, 't1', true);
    return next && [next[0]?.name, next[1], ...next.slice(2)];
  });
  kit.note('after it', kit.job(a));
  // The next job belongs to the worker, as a job that it takes does.
  const b = await kit.bullmq.Job.fromId(worker, '2');
  await step('fail and take the next', async () => {
    const next = await b.moveToFailed(boom('no', 2), 't1', true);
    return next && [next[0]?.name, next[1], ...next.slice(2)];
  });
  const c = await kit.bullmq.Job.fromId(worker, '3');
  await step('with a wrong token', () => c.moveToCompleted(1, 'bad', false));
  await step('fail with a wrong token', () => c.moveToFailed(boom('x'), 'bad'));
  await step('back with a wrong token', () => c.moveToWait('bad'));
  await step('later with a wrong token', () => c.moveToDelayed(kit.clock.now + 5, 'bad'));
  await step('complete the last', async () => c.moveToCompleted(undefined, 't1', true));

  for (const value of [null, 0, '', false, 'text "q"', { a: [1, { b: null }] }]) {
    await queue.add('value', {});
    const job = await take('t');
    await step(`value ${JSON.stringify(value)}`, async () => {
      await job.moveToCompleted(value, 't', false);
      return (await queue.getJob(job.id)).returnvalue;
    });
  }
  for (const [label, backoff] of Object.entries({
    number: 700,
    fixed: { type: 'fixed', delay: 700 },
    exponential: { type: 'exponential', delay: 100 },
    own: { type: 'mine' },
    stop: { type: 'stop' },
    zero: { type: 'zero' },
  })) {
    const { id } = await queue.add(label, {}, { attempts: 3, backoff });
    for (let i = 1; i <= 3; i++) {
      kit.clock.advance(5000);
      const job = await take(`t${i}`);
      if (!job) break;
      await step(`${label} ${i}`, async () => {
        await job.moveToFailed(boom(`${label} ${i}`, i), `t${i}`);
      });
      const { attemptsMade, attemptsStarted, delay, stacktrace, failedReason } = await queue.getJob(id);
      kit.note(`${label} ${i}: job`, {
        attemptsMade,
        attemptsStarted,
        delay,
        stacktrace,
        failedReason,
        state: await queue.getJobState(id),
      });
    }
  }
  await queue.add('stack', {}, { attempts: 3, stackTraceLimit: 1 });
  for (let i = 1; i <= 2; i++) {
    const job = await take(`t${i}`);
    await job.moveToFailed(boom(`e${i}`, i), `t${i}`);
    kit.note(`stack after ${i}`, (await queue.getJob(job.id)).stacktrace);
  }
  await queue.drain();
  await queue.add('lifo', {}, { lifo: true, attempts: 2 });
  await queue.add('other', {});
  const lifo = await take('t');
  await step('a lifo job is retried', async () => {
    await lifo.moveToFailed(boom('x'), 't');
    return queue.getRanges(['wait'], 0, -1, true);
  });
  await queue.drain();
  await queue.add('never', {}, { attempts: 3 });
  const never = await take('t');
  await step('unrecoverable', async () => {
    await never.moveToFailed(boom('stop', 1, kit.bullmq.UnrecoverableError), 't');
    return queue.getJobState(never.id);
  });

  for (const keep of [true, 1, { count: 1 }, { age: 60 }, false]) {
    for (let i = 0; i < 3; i++) {
      const { id } = await queue.add(
        `keep ${JSON.stringify(keep)}`,
        {},
        { removeOnComplete: keep, removeOnFail: keep },
      );
      const job = await take('t');
      kit.clock.advance(1);
      if (i % 2) await job.moveToFailed(boom('x'), 't');
      else await job.moveToCompleted(1, 't', false);
      kit.note(`keep ${JSON.stringify(keep)} ${id}`, await queue.getJobCounts('completed', 'failed'));
    }
  }
  await queue.add('by the worker', {});
  const own = kit.worker('q', async job => ({ ran: job.name }), { autorun: false });
  const job = await own.getNextJob('own', { block: false });
  await step('processJob', async () => {
    await own.processJob(job, 'own', () => false);
    return queue.getJobState(job.id);
  });
  await queue.add('starts', {}, { attempts: 5 });
  const strict = kit.worker('q', async () => 1, { autorun: false, maxStartedAttempts: 1 });
  const started = await strict.getNextJob('s', { block: false });
  await step('back to the queue', () => started.moveToWait('s'));
  const again = await strict.getNextJob('s', { block: false });
  await step('started too often', async () => {
    await strict.processJob(again, 's', () => false);
    return [await queue.getJobState(again.id), (await queue.getJob(again.id)).failedReason];
  });
  kit.note('whole', await kit.whole(queue));
}
