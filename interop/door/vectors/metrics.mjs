// Metrics, names, events of one's own: B-M01 to B-M04.

import { fail } from './scene.mjs';

export const scenarios = {
  // metrics: counts, per minute points, idle padding, trimming
  'B-M01': async c => {
    const q = await c.queue('q');
    const w = await c.worker(
      'q',
      async job => {
        if (job.data.bad) throw new Error('boom');
      },
      { metrics: { maxDataPoints: 4 } },
    );
    const run = async (n, bad) => {
      for (let i = 0; i < n; i++) {
        await q.add('j', { bad }, { removeOnComplete: true, removeOnFail: true });
        await c.runOne(w);
      }
    };
    await c.step('3 completed in minute 0', () => run(3));
    c.clock.advance(60000);
    await c.step('2 completed in minute 1', () => run(2));
    c.clock.advance(180000);
    await c.step('1 completed in minute 4', () => run(1));
    c.clock.advance(600000);
    await c.step('1 completed in minute 14', () => run(1));
    await c.step('1 failed', () => run(1, true));
    await c.step(
      'getMetrics',
      async () => ({
        completed: await q.getMetrics('completed'),
        failed: await q.getMetrics('failed'),
        page: await q.getMetrics('completed', 0, 1),
      }),
      { keys: false },
    );
  },

  // exportPrometheusMetrics, getMeta, getVersion, getWorkers
  'B-M02': async c => {
    const q = await c.queue('q"x');
    const q2 = await c.queue('q2');
    await q.add('a', {});
    await q.add('b', {}, { delay: 1000 });
    await q2.setGlobalConcurrency(3);
    await q2.setGlobalRateLimit(10, 1000);
    const w = c.kit.worker('q2', null, { name: 'w1' });
    const w2 = c.kit.worker('q2', null);
    await w.waitUntilReady();
    await w2.waitUntilReady();
    await c.step('prometheus', () => q.exportPrometheusMetrics({ env: 'dev' }), { keys: false });
    await c.step('meta', async () => ({
      meta: await q2.getMeta(),
      version: await q2.getVersion(),
      concurrency: await q2.getGlobalConcurrency(),
      rate: await q2.getGlobalRateLimit(),
      maxed: await q2.isMaxed(),
    }));
    await c.step(
      'workers',
      async () =>
        (await q2.getWorkers())
          .map(x => ({ name: x.name, rawname: x.rawname, fields: Object.keys(x) }))
          .sort((a, b) => (a.rawname < b.rawname ? -1 : 1)),
      { keys: false },
    );
    await w.close(true);
    await w2.close(true);
  },

  // QueueEventsProducer custom event
  'B-M03': async c => {
    const p = c.kit.producer('q');
    await c.step('publishEvent', () => p.publishEvent({ eventName: 'mine', jobId: 'J', foo: 'bar' }));
    await p.close();
  },

  // removeOrphanedJobs and the metrics keys
  'B-M04': async c => {
    const q = await c.queue('q');
    const w = await c.worker('q', fail, { metrics: { maxDataPoints: 4 } });
    await c.step('one failed job with metrics', async () => {
      await q.add('j', {});
      return c.runOne(w);
    });
    await c.step('removeOrphanedJobs()', () => q.removeOrphanedJobs());
  },
};
