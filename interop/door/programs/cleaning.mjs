// Cleaning, bulk retries and obliteration.

import { boom } from '../kit.mjs';

export const virtual = true;

export async function run(kit) {
  const queue = kit.queue();
  const worker = kit.worker();
  const told = [];
  queue.on('cleaned', (ids, type) => told.push(['cleaned', [...ids].sort(), type]));
  queue.on('removed', job => told.push(['removed', job?.id ?? job]));
  const sorted = async promise => (await promise).sort();
  const finish = async (n, fail) => {
    for (let i = 0; i < n; i++) {
      await queue.add('a', { i });
      const job = await worker.getNextJob('t', { block: false });
      kit.clock.advance(1000);
      if (fail) await job.moveToFailed(boom('no'), 't');
      else await job.moveToCompleted(i, 't', false);
    }
  };
  const step = async (label, fn) => {
    await kit.saw(label, fn);
    await kit.sawEvents(`${label}: events`);
    kit.note(`${label}: counts`, await queue.getJobCounts());
  };
  await finish(5);
  await step('older than 2.5 s', () => sorted(queue.clean(2500, 0)));
  await step('one of the rest', () => sorted(queue.clean(0, 1, 'completed')));
  await finish(4, true);
  await step('failed, two', () => sorted(queue.clean(0, 2, 'failed')));
  await step('failed, the rest', () => sorted(queue.clean(0, 0, 'failed')));
  for (let i = 0; i < 4; i++) await queue.add('w', {});
  await step('waiting too young', () => sorted(queue.clean(5000, 0, 'wait')));
  kit.clock.advance(10);
  await step('waiting, all', () => sorted(queue.clean(5, 100, 'wait')));
  for (let i = 0; i < 2; i++) await queue.add('w', {}, { delay: 1000 });
  for (let i = 0; i < 2; i++) await queue.add('w', {}, { priority: 3 });
  kit.clock.advance(10);
  await step('delayed', () => sorted(queue.clean(5, 100, 'delayed')));
  await step('prioritized', () => sorted(queue.clean(5, 100, 'prioritized')));
  await step('paused', () => sorted(queue.clean(0, 100, 'paused')));
  await queue.add('held', {});
  const held = await worker.getNextJob('t', { block: false });
  kit.clock.advance(100);
  await step('active, which are locked', () => sorted(queue.clean(0, 100, 'active')));
  await held.moveToCompleted(1, 't', false);
  await step('no such state', () => queue.clean(0, 0, 'nonsense'));

  await finish(3, true);
  await step('retry two', () => queue.retryJobs({ count: 2 }));
  kit.note('their order', await queue.getRanges(['wait'], 0, -1, true));
  await queue.drain();
  await finish(3);
  await step('retry the completed before', () =>
    queue.retryJobs({ state: 'completed', timestamp: kit.clock.now - 1000 }),
  );
  kit.note('their order', await queue.getRanges(['wait'], 0, -1, true));
  await step('orphans', () => queue.removeOrphanedJobs());
  await step('old priority key', () => queue.removeDeprecatedPriorityKey());

  await queue.add('held', {}, { lifo: true });
  const last = await worker.getNextJob('t', { block: false });
  await step('obliterate with an active job', () => queue.obliterate());
  kit.note('paused by it', await queue.isPaused());
  await step('obliterate by force', () => queue.obliterate({ force: true, count: 2 }));
  await step('what was held is gone', async () => {
    await last.moveToCompleted(1, 't', false);
  });
  await step('add to it again', () => queue.add('new', {}));
  kit.note('told', told);
}
