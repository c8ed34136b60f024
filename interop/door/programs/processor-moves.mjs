// Processors that move their job themselves: later, back to the queue, behind children.

export async function run(kit) {
  const { DelayedError, WaitingError, WaitingChildrenError, RateLimitError, UnrecoverableError } = kit.bullmq;
  const queue = kit.queue();
  const kids = kit.queue('kids');
  const seen = new Map();
  const told = [];
  const worker = kit.worker(
    'q',
    async (job, token) => {
      const times = (seen.get(job.id) ?? 0) + 1;
      seen.set(job.id, times);
      told.push(['process', job.name, times, job.attemptsMade, job.attemptsStarted]);
      if (times > 1) {
        if (job.name === 'children') return job.getChildrenValues();
        return times;
      }
      if (job.name === 'later') {
        await job.moveToDelayed(Date.now() + 40, token);
        throw new DelayedError();
      }
      if (job.name === 'back') {
        await job.moveToWait(token);
        throw new WaitingError();
      }
      if (job.name === 'limited') {
        await queue.rateLimit(60);
        throw kit.classes.Worker.RateLimitError();
      }
      if (job.name === 'limited too') {
        await worker.rateLimit(60);
        throw new RateLimitError();
      }
      if (job.name === 'children') {
        await kids.add('kid', { n: 1 }, { jobId: 'kid', parent: { id: job.id, queue: job.queueQualifiedName } });
        if (await job.moveToWaitingChildren(token)) throw new WaitingChildrenError();
      }
      if (job.name === 'refuses') throw new UnrecoverableError('never');
      if (job.name === 'by itself') {
        await job.moveToCompleted('own', token, false);
        return 'too late';
      }
      return undefined;
    },
    { limiter: { max: 1000, duration: 1000 }, drainDelay: 1 },
  );
  kit.worker('kids', async job => ({ kid: job.data.n }), { drainDelay: 1 });
  worker.on('completed', (job, value) =>
    told.push(['completed', job.name, value, job.attemptsMade, job.attemptsStarted]),
  );
  worker.on('failed', (job, error) => told.push(['failed', job?.name, error]));
  for (const name of ['later', 'back', 'limited', 'limited too', 'children', 'refuses', 'plain']) {
    const { id } = await queue.add(name, {}, { attempts: 3 });
    await kit.eventually(`${name} ends`, async () => ['completed', 'failed'].includes(await queue.getJobState(id)));
    await kit.eventually(`${name} is told`, () => told.some(line => line[0] !== 'process' && line[1] === name));
    kit.note(name, told.splice(0));
    kit.note(`${name}: job`, kit.job(await queue.getJob(id)));
    await kit.sawEvents(`${name}: events`);
  }
}
