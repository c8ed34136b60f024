// Job schedulers, on a clock that jumps.

export const virtual = true;

export async function run(kit) {
  const queue = kit.queue();
  const worker = kit.worker();
  const runOne = async () => {
    const job = await worker.getNextJob('t', { block: false });
    if (!job) return 'nothing';
    // No two end in the same millisecond: their order would be Redis's own.
    kit.clock.advance(1);
    await job.moveToCompleted(null, 't', false);
    return { id: job.id, name: job.name, data: job.data, opts: job.opts, key: job.repeatJobKey };
  };
  const step = async (label, fn) => {
    await kit.saw(label, fn);
    await kit.sawEvents(`${label}: events`);
  };
  await step('every', () =>
    queue.upsertJobScheduler(
      'e',
      { every: 60000 },
      { name: 'tick', data: { a: 1 }, opts: { attempts: 2, removeOnComplete: true } },
    ),
  );
  await step('its first run', runOne);
  await step('nothing is due', runOne);
  kit.clock.advance(60000);
  await step('its second run', runOne);
  await step('every with an offset', () => queue.upsertJobScheduler('o', { every: 3600000, offset: 5000 }));
  await step('pattern', () =>
    queue.upsertJobScheduler('p', { pattern: '0 15 3 * * *', tz: 'Europe/Stockholm' }, { name: 'n', data: { d: 1 } }),
  );
  await step('pattern at once', () => queue.upsertJobScheduler('i', { pattern: '0 0 * * * *', immediately: true }));
  await step('with a limit', () => queue.upsertJobScheduler('l', { every: 1000, limit: 2 }));
  await step('from a day on', () => queue.upsertJobScheduler('s', { every: 10000, startDate: kit.clock.now + 25000 }));
  await step('until a day', () =>
    queue.upsertJobScheduler(
      'u',
      { pattern: '*/5 * * * * *', endDate: new Date(kit.clock.now + 60000) },
      { opts: { priority: 4 } },
    ),
  );
  await step('over before it begins', () =>
    queue.upsertJobScheduler('x', { every: 10000, endDate: kit.clock.now - 1 }),
  );
  await step('both rules', () => queue.upsertJobScheduler('x', { every: 1, pattern: '* * * * *' }));
  await step('no rule', () => queue.upsertJobScheduler('x', {}));
  await step('at once and later', () =>
    queue.upsertJobScheduler('x', { pattern: '* * * * *', immediately: true, startDate: kit.clock.now }),
  );
  await step('a pattern that is none', () => queue.upsertJobScheduler('x', { pattern: 'nope' }));

  await step('one', () => queue.getJobScheduler('e'));
  await step('one that is not there', () => queue.getJobScheduler('404'));
  await step('all', () => queue.getJobSchedulers(0, -1, true));
  await step('a page, down', () => queue.getJobSchedulers(0, 1));
  await step('count', () => queue.getJobSchedulersCount());
  const scheduler = await queue.jobScheduler;
  await step('the same by its own class', async () => ({
    one: await scheduler.getScheduler('p'),
    all: (await scheduler.getJobSchedulers(0, -1, true)).map(({ key }) => key),
    count: await scheduler.getSchedulersCount(),
    is: await scheduler.isJobScheduler('p'),
    isNot: await scheduler.isJobScheduler('404'),
  }));
  await step('put by its own class', () =>
    scheduler.upsertJobScheduler('own', { every: 5000 }, 'named', { z: 1 }, { priority: 3 }, { override: true }),
  );
  await step('removed by its own class', async () => [
    await scheduler.removeJobScheduler('own'),
    await scheduler.removeJobScheduler('own'),
  ]);

  for (let i = 0; i < 12; i++) {
    kit.clock.advance(1000);
    await step(`run ${i}`, runOne);
  }
  await step('new data while the next is delayed', () =>
    queue.upsertJobScheduler('e', { every: 60000 }, { name: 'tick', data: { a: 2 } }),
  );
  const current = (await queue.getDelayed()).find(job => job.repeatJobKey === 'e');
  await step('the job of a scheduler cannot be removed', () => current.remove());
  kit.clock.advance(24 * 3600000);
  for (let i = 0; i < 10; i++) await step(`run ${i} a day later`, runOne);
  await step('remove', () => queue.removeJobScheduler('e'));
  await step('remove twice', () => queue.removeJobScheduler('e'));
  await step('state of its job', async () => (current ? queue.getJobState(current.id) : null));
  kit.note('whole', await kit.whole(queue));
  kit.note('all at the end', await queue.getJobSchedulers(0, -1, true));
}
