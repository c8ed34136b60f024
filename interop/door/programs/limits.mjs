// Rate limits and concurrency: of a worker, of a queue, by hand.

export const virtual = true;

export async function run(kit) {
  const queue = kit.queue();
  const limited = kit.worker('q', null, { limiter: { max: 2, duration: 60000 } });
  const free = kit.worker('q', null);
  const take = (worker, token) => worker.getNextJob(token, { block: false });
  const step = async (label, fn) => {
    await kit.saw(label, fn);
    await kit.sawEvents(`${label}: events`);
  };
  /** How long is left, in whole minutes: Redis counts real time. */
  const left = async promise => {
    const ms = await promise;
    return ms > 0 ? Math.ceil(ms / 60000) : ms;
  };
  for (let i = 0; i < 12; i++) await queue.add('a', { i });
  await step('no limit yet', () => left(queue.getRateLimitTtl()));
  await step('first', async () => (await take(limited, 't1'))?.id);
  await step('second', async () => (await take(limited, 't2'))?.id);
  await step('third', async () => (await take(limited, 't3'))?.id ?? 'limited');
  await step('how long', () => left(queue.getRateLimitTtl()));
  await step('how long for 2', () => left(queue.getRateLimitTtl(2)));
  await step('how long for 50', () => left(queue.getRateLimitTtl(50)));
  await step('without a limiter', async () => (await take(free, 't4'))?.id);
  await step('lift it', () => queue.removeRateLimitKey());
  await step('lift it twice', () => queue.removeRateLimitKey());
  await step('after that', async () => (await take(limited, 't5'))?.id);
  await queue.removeRateLimitKey();
  await step('by hand', () => queue.rateLimit(60000));
  await step('how long', () => left(queue.getRateLimitTtl()));
  await step('a limited worker', async () => (await take(limited, 't6'))?.id ?? 'limited');
  await step('lift it', () => queue.removeRateLimitKey());
  await step('for all', () => queue.setGlobalRateLimit(1, 60000));
  await step('its setting', () => queue.getGlobalRateLimit());
  await step('first', async () => (await take(free, 't7'))?.id);
  await step('second', async () => (await take(free, 't8'))?.id ?? 'limited');
  await step('no limit for all', () => queue.removeGlobalRateLimit());
  await queue.removeRateLimitKey();

  kit.note('active', await queue.getActiveCount());
  await step('concurrency of the queue', () => queue.setGlobalConcurrency(6));
  await step('is it full', () => queue.isMaxed());
  while (await take(free, 'more'));
  await step('is it full', () => queue.isMaxed());
  kit.note('active', await queue.getActiveCount());
  const [{ id }] = await queue.getActive(0, 0);
  const job = await kit.bullmq.Job.fromId(free, id);
  await step('one ends and takes the next', async () => {
    const next = await job.moveToCompleted(1, id === '1' ? 't1' : 'more', true);
    return next && next[1];
  });
  await step('no concurrency of the queue', () => queue.removeGlobalConcurrency());
  await step('is it full', () => queue.isMaxed());
}
