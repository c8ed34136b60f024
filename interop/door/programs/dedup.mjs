// Deduplication in all its ways. Those that wait for a time to pass use real time, since Redis does.

export async function run(kit) {
  const queue = kit.queue();
  const worker = kit.worker();
  const add = (n, deduplication, opts = {}) => queue.add('a', { n }, { ...opts, deduplication });
  const step = async (label, fn) => {
    await kit.saw(label, async () => {
      const v = await fn();
      return v instanceof kit.bullmq.Job ? { id: v.id, dedup: v.deduplicationId } : v;
    });
    await kit.sawEvents(`${label}: events`);
  };
  await step('simple', () => add(1, { id: 'S' }));
  await step('simple again', () => add(2, { id: 'S' }));
  await step('who owns it', () => queue.getDeduplicationJobId('S'));
  await step('who owns it, as v5 asked', () => queue.getDebounceJobId('S'));
  await step('who owns nothing', () => queue.getDeduplicationJobId('none'));
  const first = await worker.getNextJob('t', { block: false });
  await step('while active', () => add(3, { id: 'S' }));
  await first.moveToCompleted(1, 't', false);
  await step('after its end', () => add(4, { id: 'S' }));
  await step('released by the queue', () => queue.removeDeduplicationKey('S'));
  await step('released twice', () => queue.removeDeduplicationKey('S'));
  await step('another', () => add(5, { id: 'S' }));
  await step('released as v5 did', () => queue.removeDebounceKey('S'));
  const mine = await add(6, { id: 'J' });
  await step('released by its job', () => mine.removeDeduplicationKey());
  await step('released by its job twice', () => mine.removeDeduplicationKey());

  await step('throttle', () => add(1, { id: 'T', ttl: 60000 }));
  await step('throttle again', () => add(2, { id: 'T', ttl: 60000 }));
  await step('short', () => add(1, { id: 'U', ttl: 1500 }));
  await step('short again', () => add(2, { id: 'U', ttl: 1500 }));
  await kit.eventually('the time of U is over', async () => (await queue.getDeduplicationJobId('U')) === null);
  await step('short, after its time', () => add(3, { id: 'U', ttl: 1500 }));

  await step('debounce', () => add(1, { id: 'D', ttl: 60000, extend: true, replace: true }, { delay: 60000 }));
  await step('debounce replaces', () => add(2, { id: 'D', ttl: 60000, extend: true, replace: true }, { delay: 60000 }));
  await step('which is left', async () => (await queue.getDelayed()).map(job => job.data));
  await step('reschedule', () => add(3, { id: 'D', reschedule: true }, { delay: 90000 }));
  await step('keeps only the last', () => add(1, { id: 'K', keepLastIfActive: true }, { lifo: true }));
  const held = await worker.getNextJob('t2', { block: false });
  await step('first while active', () => add(2, { id: 'K', keepLastIfActive: true }));
  await step('second while active', () => add(3, { id: 'K', keepLastIfActive: true }));
  await step('its end makes the next', async () => {
    await held.moveToCompleted('r', 't2', false);
  });
  await step('the next', async () => (await queue.getJob(await queue.getDeduplicationJobId('K')))?.data);
  await step('bulk', async () =>
    (await queue.addBulk([1, 2, 3].map(n => ({ name: 'b', data: { n }, opts: { deduplication: { id: 'B' } } })))).map(
      job => job.id,
    ),
  );
  await step('removed with its job', async () => {
    await queue.remove(await queue.getDeduplicationJobId('B'));
    return queue.getDeduplicationJobId('B');
  });
  kit.note('whole', await kit.whole(queue));
}
