// Getters, listeners and running workers.

import { pause } from '../kit.mjs';
import { boom, until } from './scene.mjs';

// A worker that runs; what it says is written down as it comes.
const runner = async (c, opts, fn, trace) => {
  const w = await c.worker({ drainDelay: 1, autorun: false, ...opts }, fn);
  w.on('completed', j => trace.push(['completed', j.id, j.attemptsStarted, j.attemptsMade]));
  w.on('failed', (j, e) => trace.push(['failed', j.id, e.name, e.message, j.attemptsStarted, j.attemptsMade]));
  w.on('error', e => trace.push(['error', e.message, e.code ?? null]));
  w.run().catch(() => {});
  return w;
};

export const scenarios = {
  // getters: ranges, counts, state, ordering
  'A-51': async c => {
    const q = await c.queue();
    const w = await c.worker();
    for (let i = 1; i <= 4; i++) {
      await q.add('a', { i });
      const j = await c.take(w, `t${i}`);
      c.clock.advance(1);
      if (i % 2) await j.moveToCompleted(i, `t${i}`, false);
      else await j.moveToFailed(boom('e', i), `t${i}`, false);
    }
    await q.add('act', {});
    await c.take(w, 'ta');
    await q.add('act2', {});
    await c.take(w, 'tb');
    for (let i = 0; i < 4; i++) await q.add('w', {});
    await q.add('p', {}, { priority: 9 });
    await q.add('p', {}, { priority: 1 });
    await q.add('p', {}, { priority: 9 });
    await q.add('d', {}, { delay: 9000 });
    await q.add('d', {}, { delay: 1000 });
    await c.step('setup', async () => {});
    const ids = l => l.map(j => j.id);
    const k = { keys: false };
    await c.step('getJobCounts()', () => q.getJobCounts(), k);
    await c.step('getJobCounts(waiting, wait)', () => q.getJobCounts('waiting', 'wait'), k);
    await c.step('count()', () => q.count(), k);
    await c.step('getCountsPerPriority([0,1,9,2])', () => q.getCountsPerPriority([0, 1, 9, 2]), k);
    await c.step('getDelayedCount(T+1000)', () => q.getDelayedCount(c.clock.now + 1000), k);
    await c.step('getDelayedCount(T+1001)', () => q.getDelayedCount(c.clock.now + 1001), k);
    for (const s of ['waiting', 'active', 'delayed', 'prioritized', 'completed', 'failed']) {
      await c.step(`getJobs([${s}],0,-1,asc)`, async () => ids(await q.getJobs([s], 0, -1, true)), k);
      await c.step(`getJobs([${s}],0,-1,desc)`, async () => ids(await q.getJobs([s], 0, -1, false)), k);
    }
    await c.step('getJobs([waiting],1,2,asc)', async () => ids(await q.getJobs(['waiting'], 1, 2, true)), k);
    await c.step('getJobs([waiting],1,2,desc)', async () => ids(await q.getJobs(['waiting'], 1, 2, false)), k);
    await c.step('getJobs([waiting],3,9,asc)', async () => ids(await q.getJobs(['waiting'], 3, 9, true)), k);
    await c.step('getRanges([wait],0,1,asc)', () => q.getRanges(['wait'], 0, 1, true), k);
    await c.step('getRanges([wait],0,1,desc)', () => q.getRanges(['wait'], 0, 1, false), k);
    await c.step('getJobs() all, desc', async () => ids(await q.getJobs()), k);
    await c.step('getWaiting', async () => ids(await q.getWaiting()), k);
    await c.step('getCompleted', async () => ids(await q.getCompleted()), k);
    await c.step('getFailed', async () => ids(await q.getFailed()), k);
    await c.step('getDelayed', async () => ids(await q.getDelayed()), k);
    for (const id of ['1', '2', '5', '7', '11', '14', 'zzz'])
      await c.step(`getJobState(${id})`, () => q.getJobState(id), k);
    const be = q.getBackend();
    for (const id of ['1', '2', '7', 'zzz']) {
      await c.step(`isFinished(${id})`, () => be.isFinished(id), k);
      await c.step(`isFinished(${id}, value)`, () => be.isFinished(id, true), k);
    }
  },

  // running worker: one job to completion, then idle
  'A-53': async c => {
    const q = await c.queue();
    const seen = [];
    let w;
    await c.step('run', async () => {
      const done = new Promise(r => {
        c.onDone = r;
      });
      w = await c.worker({ drainDelay: 1, name: 'runner' }, async (job, token) => {
        seen.push(['process', job.id, token]);
        return 'ok';
      });
      w.on('active', j => seen.push(['active', j.id]));
      w.on('completed', (j, r) => seen.push(['completed', j.id, r]));
      w.on('drained', () => {
        if (seen.some(s => s[0] === 'completed')) {
          seen.push(['drained']);
          c.onDone();
        }
      });
      await q.add('a', { x: 1 });
      await done;
      await pause(150);
      return seen;
    });
    await c.step('closed', async () => {
      await w.close();
    });
  },

  // the moves behind the rate-limit and delayed signals: starts grow, made stays
  'A-54': async c => {
    const q = await c.queue();
    const w = await c.worker();
    await q.add('a', {}, { attempts: 2 });
    let j = await c.take(w, 't1');
    await c.step('rate limit path', async () => {
      await q.rateLimit(5000);
      await j.moveToWait('t1');
    });
    await q.removeRateLimitKey();
    j = await c.take(w, 't2');
    await c.step('delayed path', () => j.moveToDelayed(c.clock.now + 10, 't2'));
    c.clock.advance(10);
    j = await c.take(w, 't3');
    await c.step('hash: started 3, made 0', async () => {});
    await c.step('complete', async () => {
      await j.moveToCompleted(null, 't3', false);
    });
  },

  // QueueEvents: what listeners receive
  'A-55': async c => {
    const q = await c.queue();
    const w = await c.worker();
    const got = [];
    await q.pause();
    await q.resume();
    await q.add('a', {}, { jobId: 'k1' });
    await q.add('a', {}, { jobId: 'k1' });
    let j = await c.take(w, 't1');
    await j.updateProgress({ p: 1 });
    await j.moveToCompleted({ r: 1 }, 't1', true);
    await q.add('b', {});
    j = await c.take(w, 't2');
    await j.moveToFailed(boom('bad', 1), 't2', true);
    await q.add('c', {}, { delay: 10 });
    await q.remove('4');
    await q.clean(0, 0, 'completed');
    const qe = c.kit.queueEvents('vec', { lastEventId: '0-0', blockingTimeout: 200 });
    await c.step('received', async () => {
      for (const e of [
        'added',
        'waiting',
        'active',
        'progress',
        'completed',
        'failed',
        'delayed',
        'removed',
        'cleaned',
        'paused',
        'resumed',
        'duplicated',
        'retries-exhausted',
      ]) {
        qe.on(e, a => got.push([e, a]));
      }
      qe.on('drained', id => got.push(['drained', typeof id === 'string' ? '<id>' : id]));
      await pause(600);
      return got;
    });
  },

  // waitUntilFinished: already completed, already failed, removed, timeout
  'A-56': async c => {
    const q = await c.queue();
    const w = await c.worker();
    const qe = c.kit.queueEvents('vec', { blockingTimeout: 300 });
    await qe.waitUntilReady();
    await q.add('a', {});
    let j = await c.take(w, 't1');
    await j.moveToCompleted({ v: 9 }, 't1', false);
    await c.step('completed', () => j.waitUntilFinished(qe), { keys: false });
    await q.add('b', {});
    j = await c.take(w, 't2');
    await j.moveToFailed(boom('bad', 1), 't2', false);
    await c.step('failed', () => j.waitUntilFinished(qe), { keys: false });
    const jr = await q.add('c', {});
    await jr.remove();
    await c.step('removed', () => jr.waitUntilFinished(qe), { keys: false });
    const jt = await q.add('d', {});
    await c.step('timeout 50', () => jt.waitUntilFinished(qe, 50), { keys: false });
  },

  // parent with one child (basic; details in part B)
  'A-57': async c => {
    const q = await c.queue();
    const f = await c.flow();
    await c.step('add flow with fixed ids', async () => {
      await f.add({
        name: 'parent',
        queueName: 'vec',
        data: { p: 1 },
        opts: { jobId: 'P' },
        children: [{ name: 'child', queueName: 'vec', data: { c: 1 }, opts: { jobId: 'C' } }],
      });
    });
    const w = await c.worker();
    const j = await c.step('take child', () => c.take(w, 'tok-1'));
    await c.step('complete child', async () => {
      await j.moveToCompleted('cv', 'tok-1', false);
    });
    await c.step('getJobState(P)', () => q.getJobState('P'), { keys: false });
  },

  // connection names in CLIENT LIST
  'A-58': async c => {
    const q = c.kit.queue('vec');
    const workers = [{}, { name: 'alpha' }].map(opts => c.kit.worker('vec', async () => {}, opts));
    await Promise.all([q, ...workers].map(object => object.waitUntilReady()));
    await c.kit.eventually('both are listed', async () => (await q.getWorkersCount()) === 2);
    await c.step('getWorkers', async () => (await q.getWorkers()).map(x => [x.name, x.rawname]).sort(), {
      keys: false,
    });
  },

  // running worker: processor signals rate limit, delay, wait
  'A-59': async c => {
    const q = await c.queue();
    const trace = [];
    await c.step(
      'run',
      async () => {
        const seen = new Set();
        const w = await runner(
          c,
          {},
          async (job, token) => {
            trace.push(['process', job.name, job.attemptsStarted, job.attemptsMade]);
            if (seen.has(job.name)) return job.name;
            seen.add(job.name);
            if (job.name === 'rl') {
              await q.rateLimit(100);
              throw new c.bullmq.RateLimitError();
            }
            if (job.name === 'wait') {
              await job.moveToWait(token);
              throw new c.bullmq.WaitingError();
            }
            if (job.name === 'delay') {
              await job.moveToDelayed(c.clock.now + 50, token);
              setTimeout(() => c.clock.advance(60), 100);
              throw new c.bullmq.DelayedError();
            }
          },
          trace,
        );
        let n = 0;
        for (const name of ['rl', 'wait', 'delay']) {
          n++;
          await q.add(name, {}, { attempts: 2 });
          await until(() => trace.filter(t => t[0] === 'completed').length === n);
        }
        await w.close();
        return trace;
      },
      { ops: false },
    );
  },

  // running worker: started too often, stalled too often (processor not called)
  'A-60': async c => {
    const q = await c.queue();
    const hand = await c.worker({ maxStalledCount: 1 });
    const stall = async (id, token) => {
      await c.check(hand);
      await c.loseLock(hand, id, token);
      await c.check(hand);
    };
    const trace = [];
    await q.add('a', {}, { attempts: 3 });
    await c.take(hand, 't1');
    await stall('1', 't1');
    await c.step('stalled once, started once', async () => {});
    await c.step(
      'worker with maxStartedAttempts 1',
      async () => {
        const w = await runner(
          c,
          { maxStartedAttempts: 1, skipStalledCheck: true },
          async j => {
            trace.push(['process', j.id]);
          },
          trace,
        );
        await until(() => trace.length > 0);
        await w.close();
        return [...trace];
      },
      { ops: false },
    );
    trace.length = 0;
    await q.add('b', {}, { attempts: 3 });
    await c.take(hand, 't2');
    await stall('2', 't2');
    await c.take(hand, 't3');
    await stall('2', 't3');
    await c.step('stalled twice', async () => {});
    await c.step(
      'worker takes it',
      async () => {
        const w = await runner(
          c,
          { skipStalledCheck: true },
          async j => {
            trace.push(['process', j.id]);
          },
          trace,
        );
        await until(() => trace.length > 0);
        await w.close();
        return [...trace];
      },
      { ops: false },
    );
  },

  // running worker: lock lost while processing
  'A-61': async c => {
    const q = await c.queue();
    const trace = [];
    await c.step(
      'run',
      async () => {
        const w = await runner(
          c,
          {},
          async (j, token) => {
            await c.loseLock(w, j.id, token);
            return 1;
          },
          trace,
        );
        await q.add('a', {}, { attempts: 3 });
        await until(() => trace.length > 0);
        await w.close();
        return trace;
      },
      { ops: false },
    );
  },

  // running worker: return value that has no JSON form; thrown non-errors
  'A-62': async c => {
    const q = await c.queue();
    const trace = [];
    await c.step(
      'run',
      async () => {
        const w = await runner(
          c,
          {},
          async j => {
            if (j.name === 'bigint') return 10n;
            if (j.name === 'fn') return () => 1;
          },
          trace,
        );
        await q.add('bigint', {}, { stackTraceLimit: 0 });
        await until(() => trace.length >= 1);
        await q.add('fn', {});
        await until(() => trace.length === 2);
        await w.close();
        return trace;
      },
      { ops: false },
    );
  },
};
