// Limits, delays that end, locks that are lost.

import { boom } from './scene.mjs';

export const scenarios = {
  // worker rate limiter: max 1 per 60 s
  'A-31': async c => {
    const q = await c.queue();
    await q.add('a', {});
    await q.add('b', {});
    const w = await c.worker({ limiter: { max: 1, duration: 60000 } });
    const j = await c.step('take 1', () => c.take(w, 'tok-1'));
    await c.step('take 2: limited', () => c.take(w, 'tok-2'));
    await c.step('complete + next: limited tuple', async () => {
      await j.moveToCompleted(1, 'tok-1', true);
    });
    await c.step('getRateLimitTtl()', () => q.getRateLimitTtl().then(() => undefined), { keys: false });
    await c.step('getRateLimitTtl(1)', () => q.getRateLimitTtl(1).then(() => undefined), { keys: false });
    await c.step('getRateLimitTtl(5)', () => q.getRateLimitTtl(5), { keys: false });
  },

  // manual rate limit: queue.rateLimit, move back to wait, key removal
  'A-32': async c => {
    const q = await c.queue();
    await q.add('a', {});
    await q.add('b', {});
    await q.add('p', {}, { priority: 3 });
    const w = await c.worker({ limiter: { max: 10, duration: 60000 } });
    const w2 = await c.worker();
    const j = await c.step('take', () => c.take(w, 'tok-1'));
    await c.step('rateLimit 20000', async () => {
      await q.rateLimit(20000);
    });
    await c.step('moveToWait: returns ttl', () => j.moveToWait('tok-1').then(() => undefined));
    await c.step('limited worker', () => c.take(w, 'tok-2'));
    await c.step('worker without limiter is not held back', () => c.take(w2, 'tok-3'));
    await c.step('removeRateLimitKey', () => q.removeRateLimitKey());
    await c.step('getRateLimitTtl without key', () => q.getRateLimitTtl(), { keys: false });
    await c.take(w2, 'tok-4');
    const p = await c.step('take prioritized', () => c.take(w2, 'tok-5'));
    await c.step('moveToWait of a prioritized job', () => p.moveToWait('tok-5'));
  },

  // global concurrency 1
  'A-33': async c => {
    const q = await c.queue();
    await c.step('setGlobalConcurrency(1)', () => q.setGlobalConcurrency(1).then(() => undefined));
    await q.add('a', {});
    await q.add('b', {});
    const w = await c.worker();
    const j = await c.step('take 1', () => c.take(w, 'tok-1'));
    await c.step('take 2: maxed', () => c.take(w, 'tok-2'));
    await c.step('isMaxed', () => q.isMaxed(), { keys: false });
    await c.step('add while maxed: no marker', () => q.add('c', {}));
    await c.step('complete + next', async () => {
      await j.moveToCompleted(1, 'tok-1', true);
    });
    await c.step('getGlobalConcurrency', () => q.getGlobalConcurrency(), { keys: false });
    await c.step('removeGlobalConcurrency', () => q.removeGlobalConcurrency());
  },

  // global rate limit; meta max wins over the worker max, worker duration wins
  'A-34': async c => {
    const q = await c.queue();
    await c.step('setGlobalRateLimit(1, 30000)', () => q.setGlobalRateLimit(1, 30000).then(() => undefined));
    await q.add('a', {});
    await q.add('b', {});
    await q.add('c', {});
    const w = await c.worker();
    await c.step('take 1', () => c.take(w, 'tok-1'));
    await c.step('take 2 limited', () => c.take(w, 'tok-2'));
    await c.step('getRateLimitTtl() uses meta max', () => q.getRateLimitTtl().then(() => undefined), { keys: false });
    await q.removeRateLimitKey();
    const w2 = await c.worker({ limiter: { max: 50, duration: 90000 } });
    await c.step('take with a worker limiter too', () => c.take(w2, 'tok-3'));
    await c.step('limited by meta max', () => c.take(w2, 'tok-4'));
    await c.step('getMeta', () => q.getMeta(), { keys: false });
    await c.step('removeGlobalRateLimit', () => q.removeGlobalRateLimit());
  },

  // promotion by taking: delayed, delayed+priority; next-due timestamp
  'A-35': async c => {
    const q = await c.queue();
    await q.add('a', {}, { delay: 1000 });
    await q.add('b', {}, { delay: 1000, priority: 2 });
    await q.add('c', {}, { delay: 9000 });
    await c.step('setup', async () => {});
    const w = await c.worker();
    await c.step('take early: next timestamp', () => c.take(w, 'tok-1'));
    c.clock.advance(1000);
    await c.step('take when due', () => c.take(w, 'tok-2'));
    await c.step('take 2', () => c.take(w, 'tok-3'));
    await c.step('take 3: next timestamp', () => c.take(w, 'tok-4'));
  },

  // lock errors for every finishing call
  'A-47': async c => {
    const q = await c.queue();
    const w = await c.worker();
    await q.add('a', {}, { attempts: 3, backoff: 1000 });
    const j = await c.take(w, 'tok-1');
    const be = w.getBackend();
    await c.step('complete, wrong token', () => j.moveToCompleted(1, 'bad', false), { keys: false });
    await c.step('fail (delayed retry), wrong token', () => j.moveToFailed(boom(), 'bad', false), { keys: false });
    await c.step('moveToWait, wrong token', () => j.moveToWait('bad'), { keys: false });
    await c.step('moveToDelayed, wrong token', () => j.moveToDelayed(c.clock.now + 5, 'bad'), { keys: false });
    await c.step('retryJob, wrong token', () => be.retryJob('1', false, 'bad'), { keys: false });
    await c.step('nothing changed', async () => {});
    await c.loseLock(w, '1', 'tok-1');
    await c.step('complete, lock missing', () => j.moveToCompleted(1, 'tok-1', false), { keys: false });
    await c.step('moveToWait, lock missing', () => j.moveToWait('tok-1'), { keys: false });
  },
};
