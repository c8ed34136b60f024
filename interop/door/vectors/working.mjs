// Taking and finishing jobs.

import { boom } from './scene.mjs';

export const scenarios = {
  // take one job by hand, complete it without fetching the next
  'A-13': async c => {
    const q = await c.queue();
    await q.add('a', { in: 1 });
    await c.step('setup: one waiting job', async () => {});
    const w = await c.worker({ name: 'w-name' });
    c.clock.advance(10);
    const j = await c.step('take', () => c.take(w, 'tok-1'));
    c.clock.advance(25);
    await c.step('complete', async () => {
      await j.moveToCompleted({ ok: true }, 'tok-1', false);
    });
    await c.step('state', () => j.getState(), { keys: false });
  },

  // complete with fetch-next: second job comes back in the same call
  'A-14': async c => {
    const q = await c.queue();
    await q.add('a', {});
    await q.add('b', {});
    const w = await c.worker();
    const j = await c.step('take', () => c.take(w, 'tok-1'));
    c.clock.advance(5);
    await c.step('complete + next', async () => {
      await j.moveToCompleted('r1', 'tok-1', true);
    });
    const j2 = await q.getJob('2');
    c.clock.advance(5);
    await c.step('complete 2 + nothing left', async () => {
      await j2.moveToCompleted('r2', 'tok-1', true);
    });
  },

  // fetch-next finds only a future delayed job: no drained event
  'A-15': async c => {
    const q = await c.queue();
    await q.add('a', {});
    await q.add('b', {}, { delay: 60000 });
    const w = await c.worker();
    const j = await c.step('take', () => c.take(w, 'tok-1'));
    await c.step('complete + next', async () => {
      await j.moveToCompleted('r1', 'tok-1', true);
    });
  },

  // return values: undefined, null, zero, text, nested
  'A-16': async c => {
    const q = await c.queue();
    const w = await c.worker();
    const vals = [undefined, null, 0, 'text "q"', { a: [1, { b: null }] }, false, ''];
    for (let i = 0; i < vals.length; i++) {
      await q.add('a', {});
      const j = await c.take(w, `tok-${i}`);
      await c.step(
        `complete with ${JSON.stringify(vals[i]) ?? 'undefined'}`,
        async () => {
          await j.moveToCompleted(vals[i], `tok-${i}`, false);
        },
        { keys: false },
      );
    }
    await c.step('final', async () => {});
  },

  // removeOnComplete true
  'A-17': async c => {
    const q = await c.queue();
    await q.add('a', {}, { removeOnComplete: true });
    const w = await c.worker();
    const j = await c.take(w, 'tok-1');
    await j.log('line');
    await c.step('before', async () => {});
    await c.step('complete', async () => {
      await j.moveToCompleted('x', 'tok-1', true);
    });
  },

  // removeOnComplete count 2 over four jobs
  'A-18': async c => {
    const q = await c.queue();
    const w = await c.worker();
    for (let i = 1; i <= 4; i++) {
      await q.add('a', {}, { removeOnComplete: 2 });
      const j = await c.take(w, `tok-${i}`);
      c.clock.advance(100);
      await c.step(`complete ${i}`, async () => {
        await j.moveToCompleted(i, `tok-${i}`, false);
      });
    }
  },

  // removeOnComplete age 60 s, then age with limit 1, then count -1
  'A-19': async c => {
    const q = await c.queue();
    const w = await c.worker();
    const run = async (i, ro) => {
      await q.add('a', {}, ro === undefined ? {} : { removeOnComplete: ro });
      const j = await c.take(w, `tok-${i}`);
      await c.step(`complete ${i} with ${JSON.stringify(ro)}`, async () => {
        await j.moveToCompleted(i, `tok-${i}`, false);
      });
    };
    await run(1);
    c.clock.advance(10);
    await run(2);
    c.clock.advance(10);
    await run(3);
    c.clock.advance(60000);
    await run(4, { age: 60, limit: 1 });
    await run(5, { age: 60 });
    await run(6, { age: 0 });
    await run(7, -1);
  },

  // worker-level removeOnComplete count 1, overridden by a job option
  'A-20': async c => {
    const q = await c.queue();
    const w = await c.worker({ removeOnComplete: { count: 1 } });
    for (let i = 1; i <= 3; i++) {
      await q.add('a', {}, i === 3 ? { removeOnComplete: false } : {});
      const j = await c.take(w, `tok-${i}`);
      c.clock.advance(10);
      await c.step(`complete ${i}`, async () => {
        await j.moveToCompleted(i, `tok-${i}`, false);
      });
    }
  },

  // fail a job that has no attempts option
  'A-21': async c => {
    const q = await c.queue();
    await q.add('a', {});
    const w = await c.worker();
    const j = await c.step('take', () => c.take(w, 'tok-1'));
    c.clock.advance(7);
    await c.step('fail', async () => {
      await j.moveToFailed(boom('nope'), 'tok-1', true);
    });
  },

  // three attempts, exponential backoff 1000
  'A-22': async c => {
    const q = await c.queue();
    await q.add('a', {}, { attempts: 3, backoff: { type: 'exponential', delay: 1000 } });
    const w = await c.worker();
    let j = await c.step('take 1', () => c.take(w, 'tok-1'));
    c.clock.advance(5);
    await c.step('fail 1', async () => {
      await j.moveToFailed(boom('e1', 1), 'tok-1', true);
    });
    await c.step('take too early', () => c.take(w, 'tok-x'));
    c.clock.advance(1000);
    j = await c.step('take 2 (promoted)', () => c.take(w, 'tok-2'));
    await c.step('fail 2', async () => {
      await j.moveToFailed(boom('e2', 2), 'tok-2', true);
    });
    c.clock.advance(2000);
    j = await c.step('take 3', () => c.take(w, 'tok-3'));
    await c.step('fail 3', async () => {
      await j.moveToFailed(boom('e3', 3), 'tok-3', true);
    });
  },

  // two attempts, no backoff: immediate retry goes to the back
  'A-23': async c => {
    const q = await c.queue();
    await q.add('a', {}, { attempts: 2 });
    await q.add('b', {});
    const w = await c.worker();
    let j = await c.step('take 1', () => c.take(w, 'tok-1'));
    await c.step('fail 1', async () => {
      await j.moveToFailed(boom('e1', 1), 'tok-1', true);
    });
    j = await c.step('take other', () => c.take(w, 'tok-2'));
    await j.moveToCompleted(1, 'tok-2', false);
    j = await c.step('take again', () => c.take(w, 'tok-3'));
    await c.step('complete', async () => {
      await j.moveToCompleted('fine', 'tok-3', false);
    });
  },

  // immediate retry of a LIFO job and of a prioritized job
  'A-24': async c => {
    const q = await c.queue();
    await q.add('a', {});
    await q.add('b', {}, { attempts: 2, lifo: true });
    await q.add('p', {}, { attempts: 2, priority: 4 });
    const w = await c.worker();
    let j = await c.step('take lifo', () => c.take(w, 'tok-1'));
    await c.step('fail lifo', async () => {
      await j.moveToFailed(boom('e1', 1), 'tok-1', false);
    });
    await c.take(w, 'tok-2');
    await c.take(w, 'tok-3');
    j = await c.step('take prioritized', () => c.take(w, 'tok-4'));
    await c.step('fail prioritized', async () => {
      await j.moveToFailed(boom('e1', 1), 'tok-4', false);
    });
  },

  // backoff formulas: fixed, number form, jitter, custom -1 / 0 (random fixed at 0.5)
  'A-25': async c => {
    const q = await c.queue();
    const w = await c.worker({
      settings: { backoffStrategy: (n, type) => (type === 'stop' ? -1 : type === 'zero' ? 0 : n * 11) },
    });
    const cases = {
      'number 700': 700,
      'fixed 700 jitter 0.5': { type: 'fixed', delay: 700, jitter: 0.5 },
      'exponential 100 jitter 0.25': { type: 'exponential', delay: 100, jitter: 0.25 },
      'custom n*11': { type: 'mine' },
      'custom -1 fails at once': { type: 'stop' },
      'custom 0 retries at once': { type: 'zero' },
    };
    let i = 0;
    for (const [label, backoff] of Object.entries(cases)) {
      i++;
      await q.add('a', {}, { attempts: 3, backoff });
      const j = await c.take(w, `tok-${i}`);
      await c.step(label, async () => {
        await j.moveToFailed(boom('e', 1), `tok-${i}`, false);
      });
      await q.obliterate({ force: true });
      await c.forgetEvents();
    }
    await q.resume();
  },

  // unrecoverable error with attempts left
  'A-26': async c => {
    const q = await c.queue();
    await q.add('a', {}, { attempts: 3 });
    const w = await c.worker();
    const j = await c.take(w, 'tok-1');
    await c.step('fail unrecoverably', async () => {
      await j.moveToFailed(boom('stop', 1, c.bullmq.UnrecoverableError), 'tok-1', false);
    });
  },

  // stackTraceLimit 1 and 0; error without stack
  'A-27': async c => {
    const q = await c.queue();
    const w = await c.worker();
    await q.add('a', {}, { attempts: 3, stackTraceLimit: 1 });
    let j = await c.take(w, 't1');
    await c.step('limit 1, fail 1', async () => {
      await j.moveToFailed(boom('e1', 1), 't1', false);
    });
    j = await c.take(w, 't2');
    await c.step('limit 1, fail 2', async () => {
      await j.moveToFailed(boom('e2', 2), 't2', false);
    });
    j = await c.take(w, 't3');
    await j.moveToCompleted(1, 't3', false);
    await q.add('b', {}, { stackTraceLimit: 0 });
    j = await c.take(w, 't4');
    await c.step('limit 0, fail', async () => {
      await j.moveToFailed(boom('e1', 1), 't4', false);
    });
    await q.add('c', {});
    j = await c.take(w, 't5');
    await c.step('no stack', async () => {
      const e = new Error('bare');
      e.stack = undefined;
      await j.moveToFailed(e, 't5', false);
    });
  },

  // removeOnFail true and removeOnFail 1
  'A-28': async c => {
    const q = await c.queue();
    const w = await c.worker();
    await q.add('a', {}, { removeOnFail: true });
    let j = await c.take(w, 't1');
    await c.step('fail, remove', async () => {
      await j.moveToFailed(boom('e1', 1), 't1', false);
    });
    for (let i = 2; i <= 3; i++) {
      await q.add('b', {}, { removeOnFail: 1 });
      j = await c.take(w, `t${i}`);
      c.clock.advance(1);
      await c.step(`fail ${i}, keep 1`, async () => {
        await j.moveToFailed(boom('e', i), `t${i}`, false);
      });
    }
  },

  // stalled once, then twice (limit 1)
  'A-29': async c => {
    const q = await c.queue();
    await q.add('a', {});
    const w = await c.worker();
    const check = () => c.check(w);
    await c.take(w, 'tok-1');
    await c.step('check 1: lock present, only marked', check);
    await c.step('check again inside the interval: refused', () => c.check(w, { again: true }));
    await c.loseLock(w, '1', 'tok-1');
    await c.step('check 2: lock gone, first stall', check);
    await c.step('take again', () => c.take(w, 'tok-2'));
    await c.step('check 3: marked', check);
    await c.loseLock(w, '1', 'tok-2');
    await c.step('check 4: second stall, deferred failure written', check);
    const j = await c.step('take: hash carries defa', () => c.take(w, 'tok-3'));
    await c.step('what a worker then does', async () => {
      await j.moveToFailed(boom(j.deferredFailure, 1, c.bullmq.UnrecoverableError), 'tok-3', false);
    });
  },

  // stalled set: cleared by lock extension; prioritized job stalls into wait
  'A-30': async c => {
    const q = await c.queue();
    await q.add('p', {}, { priority: 9 });
    const w = await c.worker();
    const be = w.getBackend();
    const check = () => c.check(w);
    await c.take(w, 'tok-1');
    await c.step('mark', check);
    await c.step('extendLock ok', () => be.extendLock('1', 'tok-1', 60000));
    await c.step('mark', check);
    await c.step('extendLocks: one good, one wrong token, one missing', () =>
      be.extendLocks(['1', '1', '77'], ['tok-1', 'bad', 'x'], 90000),
    );
    await c.step('extendLock wrong token', () => be.extendLock('1', 'bad', 60000));
    await c.step('mark', check);
    await c.loseLock(w, '1', 'tok-1');
    await c.step('stall', check);
  },

  // maxStartedAttempts 1
  'A-50': async c => {
    const q = await c.queue();
    await q.add('a', {}, { attempts: 5 });
    const w = await c.worker({ maxStartedAttempts: 1 });
    const j = await c.take(w, 'tok-1');
    await c.step('fail at the limit: no retry', async () => {
      await j.moveToFailed(boom('e', 1), 'tok-1', false);
    });
  },
};
