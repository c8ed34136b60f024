// Strategies of a program's own: for repeats and for backoffs; and two prefixes that do not meet.

export const virtual = true;

export async function run(kit) {
  const settings = { repeatStrategy: (millis, { pattern }) => (pattern === 'odd' ? millis + 777 : undefined) };
  const queue = kit.queue('q', { settings });
  const worker = kit.worker('q', async () => 1, { settings, autorun: false });
  await kit.saw('put', () => queue.upsertJobScheduler('own', { pattern: 'odd' }, { name: 'n' }));
  for (let i = 0; i < 3; i++) {
    kit.clock.advance(1000);
    const job = await worker.getNextJob('t', { block: false });
    kit.note(`run ${i}`, job && [job.id, job.timestamp, job.opts.repeat]);
    if (job) await job.moveToCompleted(1, 't', false);
  }
  await kit.saw('it', () => queue.getJobScheduler('own'));
  await kit.sawEvents();

  const here = kit.queue('same');
  const there = kit.queue('same', { prefix: `${kit.base.prefix}-2` });
  await here.add('a', { here: true });
  await there.add('a', { here: false });
  kit.note('two prefixes', [
    (await here.getWaiting()).map(job => job.data),
    (await there.getWaiting()).map(job => job.data),
  ]);
  kit.note('their names', [here.qualifiedName, there.qualifiedName]);
  const odd = kit.queue('a name with spaces, "quotes" and é');
  await odd.add('x', {});
  kit.note('an odd name', [await odd.getWaitingCount(), odd.qualifiedName]);
}
