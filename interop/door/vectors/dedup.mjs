// Deduplication: B-D01 to B-D11.

import { fail } from './scene.mjs';

export const scenarios = {
  // simple mode: key lives until the job finishes
  'B-D01': async c => {
    const q = await c.queue('q');
    const w = await c.worker('q');
    await c.step('add', async () => (await q.add('a', { n: 1 }, { deduplication: { id: 'X' } })).id);
    await c.step('add again', async () => (await q.add('a', { n: 2 }, { deduplication: { id: 'X' } })).id);
    await c.step('getDeduplicationJobId', () => q.getDeduplicationJobId('X'), { keys: false });
    await c.step('complete', () => c.runOne(w));
    await c.step('add after completion', async () => (await q.add('a', { n: 3 }, { deduplication: { id: 'X' } })).id);
  },

  // throttle mode: ttl key survives completion
  'B-D02': async c => {
    const q = await c.queue('q');
    const w = await c.worker('q');
    await c.step('add', async () => (await q.add('a', { n: 1 }, { deduplication: { id: 'X', ttl: 5000 } })).id);
    await c.step('complete', () => c.runOne(w));
    await c.step(
      'add again within ttl',
      async () => (await q.add('a', { n: 2 }, { deduplication: { id: 'X', ttl: 5000 } })).id,
    );
  },

  // extend: each duplicate restarts the ttl
  'B-D03': async c => {
    const q = await c.queue('q');
    await c.step(
      'add ttl 2000',
      async () => (await q.add('a', {}, { deduplication: { id: 'X', ttl: 2000, extend: true } })).id,
    );
    await c.step(
      'duplicate with ttl 9000',
      async () => (await q.add('a', {}, { deduplication: { id: 'X', ttl: 9000, extend: true } })).id,
    );
  },

  // debounce: ttl + extend + replace with delay
  'B-D04': async c => {
    const q = await c.queue('q');
    const d = n =>
      q.add('a', { n }, { delay: 5000, deduplication: { id: 'X', ttl: 5000, extend: true, replace: true } });
    await c.step('add', async () => (await d(1)).id);
    c.clock.advance(1000);
    await c.step('add again: the delayed job is replaced', async () => (await d(2)).id);
    c.clock.advance(1000);
    await c.step(
      'replace without extend keeps the remaining ttl',
      async () =>
        (await q.add('a', { n: 3 }, { delay: 5000, deduplication: { id: 'X', ttl: 90000, replace: true } })).id,
    );
    await c.step(
      'replace without ttl: plain SET (ttl lost)',
      async () => (await q.add('a', { n: 4 }, { delay: 5000, deduplication: { id: 'X', replace: true } })).id,
    );
  },

  // replace when the current job is not delayed: plain duplicate without event
  'B-D05': async c => {
    const q = await c.queue('q');
    await c.step(
      'add (waiting)',
      async () => (await q.add('a', { n: 1 }, { deduplication: { id: 'X', replace: true } })).id,
    );
    await c.step(
      'add again with replace',
      async () => (await q.add('a', { n: 2 }, { deduplication: { id: 'X', replace: true } })).id,
    );
    await c.step(
      'add again without replace',
      async () => (await q.add('a', { n: 3 }, { deduplication: { id: 'X' } })).id,
    );
  },

  // keepLastIfActive
  'B-D06': async c => {
    const q = await c.queue('q');
    const w = await c.worker('q');
    const add = n => q.add('a', { n }, { deduplication: { id: 'X', keepLastIfActive: true } });
    let job;
    await c.step('add', async () => (await add(1)).id);
    await c.step('duplicate while waiting', async () => (await add(2)).id);
    await c.step('take', async () => {
      job = await w.getNextJob('tok', { block: false });
      return job.id;
    });
    await c.step('duplicate while active', async () => (await add(3)).id);
    await c.step('another one while active (last wins)', async () => (await add(4)).id);
    await c.step('complete: next job created', async () => {
      await job.moveToCompleted('r', 'tok', false);
    });
    await c.step('run the next job', () => c.runOne(w));
  },

  // reschedule a delayed job
  'B-D07': async c => {
    const q = await c.queue('q');
    await c.step(
      'add delayed',
      async () => (await q.add('a', { n: 1 }, { delay: 10000, deduplication: { id: 'X' } })).id,
    );
    c.clock.advance(1000);
    await c.step(
      'duplicate with reschedule',
      async () => (await q.add('a', { n: 2 }, { delay: 20000, deduplication: { id: 'X', reschedule: true } })).id,
    );
  },

  // removal of the job frees the key; job.removeDeduplicationKey; queue.removeDeduplicationKey
  'B-D08': async c => {
    const q = await c.queue('q');
    await c.step('add', async () => (await q.add('a', {}, { deduplication: { id: 'X', ttl: 60000 } })).id);
    await c.step('remove job', () => q.remove('1'));
    let job;
    await c.step('add again', async () => {
      job = await q.add('a', {}, { deduplication: { id: 'X' } });
      return job.id;
    });
    await c.step('job.removeDeduplicationKey', () => job.removeDeduplicationKey());
    await c.step('job.removeDeduplicationKey again', () => job.removeDeduplicationKey());
    await c.step('add with key Y', async () => (await q.add('a', {}, { deduplication: { id: 'Y' } })).id);
    await c.step('queue.removeDeduplicationKey(Y)', () => q.removeDeduplicationKey('Y'));
  },

  // custom job id duplicate
  'B-D10': async c => {
    const q = await c.queue('q');
    await c.step('add jobId J', async () => (await q.add('a', { n: 1 }, { jobId: 'J' })).id);
    await c.step('add jobId J again', async () => (await q.add('b', { n: 2 }, { jobId: 'J' })).id);
  },

  // deduplication on delayed and prioritized jobs, and failure frees the key
  'B-D11': async c => {
    const q = await c.queue('q');
    const w = await c.worker('q', fail);
    await c.step('delayed + prioritized', async () => [
      (await q.add('a', {}, { delay: 1000, deduplication: { id: 'A' } })).id,
      (await q.add('b', {}, { priority: 2, deduplication: { id: 'B' } })).id,
    ]);
    await c.step('duplicate of B', async () => (await q.add('b', {}, { priority: 1, deduplication: { id: 'B' } })).id);
    await c.step('B fails for good', () => c.runOne(w));
    await c.step('C with 2 attempts fails once (key kept)', async () => {
      await q.add('c', {}, { attempts: 2, deduplication: { id: 'C' } });
      return c.runOne(w);
    });
  },
};
