// Moving jobs about.

import { boom } from './scene.mjs';

export const scenarios = {
  // promote one, promoteJobs bulk (priority is not honoured in bulk)
  'A-36': async c => {
    const q = await c.queue();
    await q.add('a', {}, { delay: 1000 });
    await q.add('b', {}, { delay: 1000, priority: 2 });
    await q.add('c', {}, { delay: 2000 });
    await q.add('d', {}, { delay: 3000, priority: 5 });
    const j1 = await q.getJob('1');
    const j2 = await q.getJob('2');
    await c.step('promote 1', () => j1.promote());
    await c.step('promote 1 again', () => j1.promote());
    await c.step('promote 2 (prioritized)', () => j2.promote());
    await c.step('promoteJobs', () => q.promoteJobs());
  },

  // changeDelay
  'A-37': async c => {
    const q = await c.queue();
    await q.add('a', {}, { delay: 5000 });
    await q.add('b', {});
    const a = await q.getJob('1');
    const b = await q.getJob('2');
    c.clock.advance(100);
    await c.step('to 2000', () => a.changeDelay(2000));
    await c.step('to 0', () => a.changeDelay(0));
    await c.step('of a waiting job', () => b.changeDelay(10));
    await b.remove();
    await c.step('of a missing job', () => b.changeDelay(10));
  },

  // changePriority in all directions
  'A-38': async c => {
    const q = await c.queue();
    await q.add('a', {}, { priority: 5 });
    await q.add('b', {}, { priority: 5 });
    await q.add('c', {});
    await q.add('d', {});
    await q.add('e', {}, { delay: 5000 });
    const g = id => q.getJob(id);
    await c.step('setup', async () => {});
    await c.step('1: 5 -> 2', async () => (await g('1')).changePriority({ priority: 2 }));
    await c.step('2: 5 -> 2 lifo', async () => (await g('2')).changePriority({ priority: 2, lifo: true }));
    await c.step('1: 2 -> 0', async () => (await g('1')).changePriority({ priority: 0 }));
    await c.step('3: 0 -> 7', async () => (await g('3')).changePriority({ priority: 7 }));
    await c.step('4: 0 -> 0 lifo', async () => (await g('4')).changePriority({ lifo: true }));
    await c.step('5 (delayed) -> 3: only the hash', async () => (await g('5')).changePriority({ priority: 3 }));
    const j = await g('5');
    await j.remove();
    await c.step('missing', () => j.changePriority({ priority: 1 }));
  },

  // retry a finished job: failed, completed, with resets, prioritized, wrong state
  'A-39': async c => {
    const q = await c.queue();
    const w = await c.worker();
    await q.add('a', {});
    let j = await c.take(w, 't1');
    await j.moveToFailed(boom('e', 1), 't1', false);
    await c.step('failed', async () => {});
    await c.step('retry failed', () => j.retry());
    await c.step('retry again: not in state', () => j.retry());
    j = await c.take(w, 't2');
    await j.moveToCompleted('v', 't2', false);
    await c.step('retry completed with both resets', () =>
      j.retry('completed', { resetAttemptsMade: true, resetAttemptsStarted: true }),
    );
    j = await c.take(w, 't2b');
    await j.moveToCompleted('v', 't2b', false);
    await q.add('p', {}, { priority: 6 });
    j = await c.take(w, 't3');
    await j.moveToFailed(boom('e', 1), 't3', false);
    await c.step('retry failed prioritized', () => j.retry('failed'));
    await j.remove();
    await c.step('retry missing', () => j.retry());
  },

  // retryJobs bulk: failed then completed
  'A-40': async c => {
    const q = await c.queue();
    const w = await c.worker();
    for (let i = 1; i <= 3; i++) {
      await q.add('a', {}, i === 2 ? { priority: 4 } : {});
      const j = await c.take(w, `t${i}`);
      c.clock.advance(10);
      await j.moveToFailed(boom('e', i), `t${i}`, false);
    }
    await c.step('three failed', async () => {});
    await c.step('retryJobs({count:2})', () => q.retryJobs({ count: 2 }));
    for (let i = 1; i <= 3; i++) {
      const j = await c.take(w, `u${i}`);
      c.clock.advance(10);
      await j.moveToCompleted(i, `u${i}`, false);
    }
    await c.step('three completed', async () => {}, { keys: false });
    await c.step('retryJobs completed before a timestamp', () =>
      q.retryJobs({ state: 'completed', timestamp: c.clock.now - 10 }),
    );
  },

  // remove: waiting, locked, missing, failed
  'A-41': async c => {
    const q = await c.queue();
    await q.add('a', {});
    await q.add('b', {});
    await q.add('c', {}, { delay: 4000 });
    const w = await c.worker();
    await c.take(w, 'tok-1');
    await (await q.getJob('2')).log('x');
    await c.step('setup', async () => {});
    await c.step('remove locked -> 0', () => q.remove('1'));
    const j = await q.getJob('1');
    await c.step('job.remove locked -> error', () => j.remove());
    await c.step('remove waiting', () => q.remove('2'));
    await c.step('remove delayed (marker stays)', () => q.remove('3'));
    await c.step('remove missing', () => q.remove('99'));
  },

  // drain without and with delayed
  'A-42': async c => {
    const q = await c.queue();
    const fill = async () => {
      await q.add('a', {});
      await q.add('b', {}, { priority: 2 });
      await q.add('c', {}, { delay: 4000 });
    };
    await fill();
    await c.step('drain()', () => q.drain());
    await fill();
    await c.step('drain(true)', () => q.drain(true));
  },

  // clean: completed by grace and limit, wait with limit, delayed, active
  'A-43': async c => {
    const q = await c.queue();
    const w = await c.worker();
    for (let i = 1; i <= 4; i++) {
      await q.add('a', {});
      const j = await c.take(w, `t${i}`);
      c.clock.advance(1000);
      await j.moveToCompleted(i, `t${i}`, false);
    }
    await c.step('clean(1500, 0): older than grace', () => q.clean(1500, 0));
    await c.step('clean(0, 1)', () => q.clean(0, 1, 'completed'));
    for (let i = 0; i < 3; i++) {
      await q.add('w', {});
      c.clock.advance(1);
    }
    await c.step('clean wait limit 2', () => q.clean(0, 2, 'wait'));
    await q.add('d', {}, { delay: 100000 });
    await c.step('clean delayed', () => q.clean(0, 0, 'delayed'));
    await q.add('p', {}, { priority: 3 });
    await c.step('clean prioritized with grace 5000', () => q.clean(5000, 0, 'prioritized'));
    await c.take(w, 'tt');
    await c.step('clean active: locked is skipped', () => q.clean(0, 0, 'active'));
  },

  // obliterate: refused with active jobs, forced
  'A-44': async c => {
    const q = await c.queue();
    await q.add('a', {});
    await q.add('b', {}, { delay: 1000 });
    await q.add('c', {}, { priority: 1 });
    const w = await c.worker();
    await c.take(w, 'tok-1');
    await c.step('obliterate', () => q.obliterate());
    await c.step('obliterate force', () => q.obliterate({ force: true }));
  },

  // updateData, updateProgress, logs, clearLogs, errors on a missing job
  'A-45': async c => {
    const q = await c.queue();
    const j = await q.add('a', { v: 1 }, { keepLogs: 2 });
    await c.step('updateData', () => j.updateData({ v: 2 }));
    await c.step('progress number', () => j.updateProgress(42));
    await c.step('progress object', () => j.updateProgress({ pct: 50, note: 'half' }));
    await c.step('progress via queue, text', () => q.updateJobProgress('1', 'almost'));
    await c.step('log 1', () => j.log('one'));
    await c.step('log 2', () => j.log('two'));
    await c.step('log 3 (keepLogs 2)', () => j.log('three'));
    await c.step('addJobLog without keepLogs', () => q.addJobLog('1', 'four'));
    await c.step('getJobLogs asc', () => q.getJobLogs('1', 0, 1), { keys: false });
    await c.step('getJobLogs desc', () => q.getJobLogs('1', 0, 1, false), { keys: false });
    await c.step('clearLogs(1)', () => j.clearLogs(1));
    await c.step('clearLogs()', () => j.clearLogs());
    await j.remove();
    await c.step('updateData missing', () => j.updateData({}));
    await c.step('updateProgress missing', () => j.updateProgress(1));
    await c.step('log missing', () => j.log('x'));
  },

  // processor-driven moves: moveToDelayed, moveToWait
  'A-46': async c => {
    const q = await c.queue();
    await q.add('a', {}, { attempts: 3 });
    await q.add('b', {});
    const w = await c.worker();
    let j = await c.step('take', () => c.take(w, 'tok-1'));
    await c.step('moveToDelayed(+4000): attempts not spent', () => j.moveToDelayed(c.clock.now + 4000, 'tok-1'));
    j = await c.step('take b', () => c.take(w, 'tok-2'));
    await c.step('moveToWait(b): front of the list', () => j.moveToWait('tok-2'));
    j = await c.take(w, 'tok-3');
    await c.step('moveToDelayed in the past: delay 0', () => j.moveToDelayed(c.clock.now - 5, 'tok-3'));
  },
};
