// Job schedulers: B-S01 to B-S13.

import { until } from './scene.mjs';

export const scenarios = {
  // every: first upsert, first run creates the next iteration, second run
  'B-S01': async c => {
    const q = await c.queue('q');
    const w = await c.worker('q');
    await c.step('upsert every 60000 (now is 20 s into the minute)', async () => {
      const j = await q.upsertJobScheduler(
        's',
        { every: 60000 },
        { name: 'tickjob', data: { a: 1 }, opts: { attempts: 2, removeOnComplete: true } },
      );
      return { id: j.id, delay: j.opts.delay, repeat: j.opts.repeat };
    });
    await c.step('take the first job: next iteration created', async () => {
      const j = await w.getNextJob('tok', { block: false });
      await j.moveToCompleted(null, 'tok', false);
      return { id: j.id, repeatJobKey: j.repeatJobKey, opts: j.opts };
    });
    c.clock.advance(60000);
    await c.step('take the second job', async () => {
      const j = await w.getNextJob('tok', { block: false });
      await j.moveToCompleted(null, 'tok', false);
      return { id: j.id };
    });
    await c.step('getters', async () => ({
      one: await q.getJobScheduler('s'),
      all: await q.getJobSchedulers(),
      count: await q.getJobSchedulersCount(),
      missing: (await q.getJobScheduler('zz')) ?? 'undefined',
    }));
  },

  // every: re-upsert before the run, change of every, change of template
  'B-S02': async c => {
    const q = await c.queue('q');
    const w = await c.worker('q');
    await c.step('upsert every 60000', async () => (await q.upsertJobScheduler('s', { every: 60000 })).id);
    c.clock.advance(5000);
    await c.step(
      'same every, before the first run (slot kept)',
      async () => (await q.upsertJobScheduler('s', { every: 60000 }, { data: { v: 2 } })).id,
    );
    await c.step('run first', () => c.runOne(w));
    c.clock.advance(5000);
    await c.step(
      'same every, while the next is delayed',
      async () => (await q.upsertJobScheduler('s', { every: 60000 }, { data: { v: 3 } })).id,
    );
    c.clock.advance(5000);
    await c.step(
      'every 30000: schedule restarts now',
      async () => (await q.upsertJobScheduler('s', { every: 30000 }, { data: { v: 4 } })).id,
    );
  },

  // pattern with tz: before and after the first run
  'B-S03': async c => {
    const q = await c.queue('q');
    const w = await c.worker('q');
    await c.step('upsert pattern', async () => {
      const j = await q.upsertJobScheduler(
        'cron',
        { pattern: '0 15 3 * * *', tz: 'Europe/Stockholm' },
        { name: 'n', data: { d: 1 } },
      );
      return { id: j.id, at: new Date(Number(j.id.split(':')[2])).toISOString(), delay: j.opts.delay };
    });
    await c.step('jump to the slot and take it', async () => {
      c.clock.now = (await q.getJobScheduler('cron')).next;
      const j = await w.getNextJob('tok', { block: false });
      await j.moveToCompleted(null, 'tok', false);
      return j.id;
    });
  },

  // limit 2
  'B-S04': async c => {
    const q = await c.queue('q');
    const w = await c.worker('q');
    await c.step(
      'upsert every 1000 limit 2',
      async () => (await q.upsertJobScheduler('s', { every: 1000, limit: 2 })).id,
    );
    await c.step('run 1', () => c.runOne(w));
    c.clock.advance(1000);
    await c.step('run 2 (limit reached: no next job, scheduler stays)', () => c.runOne(w));
    c.clock.advance(1000);
    await c.step('run 3', () => c.runOne(w));
  },

  // startDate and endDate
  'B-S05': async c => {
    const q = await c.queue('q');
    const w = await c.worker('q');
    await c.step(
      'every with startDate in the future',
      async () => (await q.upsertJobScheduler('a', { every: 10000, startDate: c.clock.now + 25000 })).id,
    );
    await c.step(
      'pattern with startDate',
      async () =>
        (await q.upsertJobScheduler('b', { pattern: '*/30 * * * * *', startDate: new Date(c.clock.now + 60000) })).id,
    );
    await c.step('endDate in the past', () => q.upsertJobScheduler('c', { every: 10000, endDate: c.clock.now - 1 }));
    await c.step(
      'every with endDate',
      async () => (await q.upsertJobScheduler('d', { every: 10000, endDate: c.clock.now + 5000 })).id,
    );
    c.clock.advance(6000);
    await c.step('run d after its endDate: no next', () => c.runOne(w));
  },

  // offset, immediately and missed iterations
  'B-S06': async c => {
    const q = await c.queue('q');
    const w = await c.worker('q');
    await c.step(
      'every 60000 offset 5000',
      async () => (await q.upsertJobScheduler('o', { every: 60000, offset: 5000 })).id,
    );
    await c.step(
      'pattern immediately',
      async () => (await q.upsertJobScheduler('i', { pattern: '0 0 * * * *', immediately: true })).id,
    );
    await c.step('run i', () => c.runOne(w));
    await c.step('every 10000', async () => (await q.upsertJobScheduler('m', { every: 10000 })).id);
    c.clock.advance(95000);
    await c.step('run due jobs 95 s later', async () => {
      const out = [];
      for (let i = 0; i < 3; i++) out.push(await c.runOne(w));
      return out;
    });
  },

  // removeJobScheduler (delayed, and when the current job is waiting)
  'B-S07': async c => {
    const q = await c.queue('q');
    const w = await c.worker('q');
    await c.step('upsert pattern', async () => (await q.upsertJobScheduler('p', { pattern: '0 0 0 1 1 *' })).id);
    await c.step('queue.remove of the current job is refused (-8)', async () => q.remove((await q.getDelayed())[0].id));
    await c.step('removeJobScheduler', () => q.removeJobScheduler('p'));
    await c.step('remove again', () => q.removeJobScheduler('p'));
    await c.step('every (job in wait)', async () => (await q.upsertJobScheduler('e', { every: 1000 })).id);
    await c.step('removeJobScheduler: the waiting job stays', () => q.removeJobScheduler('e'));
    await c.step('its job runs, no next iteration', () => c.runOne(w));
  },

  // collisions: pattern (-10) and every (-11)
  'B-S08': async c => {
    const q = await c.queue('q');
    const w = await c.worker('q');
    for (let i = 0; i <= 33; i++) await q.add('x', {}, { jobId: `repeat:b:${c.clock.now + i * 1000}` });
    await c.forgetEvents();
    await c.step(
      'every with 33 busy slots',
      async () => {
        return q.upsertJobScheduler('b', { every: 1000 });
      },
      { keys: false },
    );
  },

  // upsert while the queue is paused and the current job is in wait
  'B-S09': async c => {
    const q = await c.queue('q');
    await c.step('upsert every 60000, pause', async () => {
      const j = await q.upsertJobScheduler('s', { every: 60000 });
      await q.pause();
      return j.id;
    });
    c.clock.advance(1000);
    await c.step('upsert again while paused', async () => (await q.upsertJobScheduler('s', { every: 60000 })).id);
  },

  // invalid options and legacy keys
  'B-S10': async c => {
    const q = await c.queue('q');
    await c.step('both', () => q.upsertJobScheduler('x', { every: 1, pattern: '* * * * *' }), { keys: false });
    await c.step('none', () => q.upsertJobScheduler('x', {}), { keys: false });
    await c.step(
      'immediately + startDate',
      () => q.upsertJobScheduler('x', { pattern: '* * * * *', immediately: true, startDate: c.clock.now }),
      { keys: false },
    );
    await c.step('bad pattern', () => q.upsertJobScheduler('x', { pattern: 'nope' }), { keys: false });
  },

  // priority template: iteration lands in prioritized; next iteration delayed then prioritized
  'B-S11': async c => {
    const q = await c.queue('q');
    const w = await c.worker('q');
    await c.step(
      'upsert every 1000 priority 4',
      async () => (await q.upsertJobScheduler('s', { every: 1000 }, { opts: { priority: 4 } })).id,
    );
    await c.step('run', () => c.runOne(w));
    c.clock.advance(1000);
    await c.step('run', () => c.runOne(w));
  },

  // pattern: re-upsert while the due iteration is still waiting (the run is lost)
  'B-S12': async c => {
    const q = await c.queue('q');
    const w = await c.worker('q');
    await c.step('upsert */30 s', async () => (await q.upsertJobScheduler('p', { pattern: '*/30 * * * * *' })).id);
    c.clock.advance(10500);
    await c.step('another job is taken: the due iteration is promoted to wait', async () => {
      await q.add('other', {}, { lifo: true });
      await w.getNextJob('tok', { block: false });
    });
    await c.step('upsert again', async () => (await q.upsertJobScheduler('p', { pattern: '*/30 * * * * *' })).id);
  },

  // limit: re-upsert restarts the count; the last job of an exhausted scheduler cannot be removed
  'B-S13': async c => {
    const q = await c.queue('q');
    const w = await c.worker('q');
    await c.step('upsert limit 2 and run once', async () => {
      await q.upsertJobScheduler('s', { every: 1000, limit: 2 });
      return c.runOne(w);
    });
    await c.step('re-upsert, then run until nothing is due', async () => {
      await q.upsertJobScheduler('s', { every: 1000, limit: 2 });
      const out = [];
      for (let i = 0; i < 4; i++) {
        c.clock.advance(1000);
        out.push(await c.runOne(w));
      }
      return out;
    });
    await c.step('remove the last (completed) job', async () => q.remove((await q.getCompleted())[0].id));
    await c.step('getJobSchedulers still lists it', () => q.getJobSchedulers(), { keys: false });
  },
};
