// Counts per minute, and what a queue says of itself.

import { boom } from '../kit.mjs';

export const virtual = true;

export async function run(kit) {
  const queue = kit.queue();
  const worker = kit.worker('q', null, { metrics: { maxDataPoints: 4 } });
  const finish = async (n, fail) => {
    for (let i = 0; i < n; i++) {
      await queue.add('a', {}, { removeOnComplete: true, removeOnFail: true });
      const job = await worker.getNextJob('t', { block: false });
      if (fail) await job.moveToFailed(boom('no'), 't');
      else await job.moveToCompleted(1, 't', false);
    }
  };
  await kit.saw('before', () => queue.getMetrics('completed'));
  await finish(3);
  kit.clock.advance(60000);
  await finish(2);
  await finish(1, true);
  kit.clock.advance(180000);
  await finish(1);
  await kit.saw('completed', () => queue.getMetrics('completed'));
  await kit.saw('failed', () => queue.getMetrics('failed'));
  kit.clock.advance(600000);
  await finish(1);
  await kit.saw('completed later', () => queue.getMetrics('completed'));
  await kit.saw('a page', () => queue.getMetrics('completed', 0, 1));
  await kit.saw('meta', () => queue.getMeta());
  await queue.setGlobalConcurrency(3);
  await queue.setGlobalRateLimit(10, 1000);
  await queue.pause();
  await kit.saw('meta with limits', () => queue.getMeta());
  await kit.saw('its limits', async () => [await queue.getGlobalConcurrency(), await queue.getGlobalRateLimit()]);
  await kit.saw('take them back', async () => [
    await queue.removeGlobalConcurrency(),
    await queue.removeGlobalRateLimit(),
  ]);
  await kit.saw('none any more', async () => [await queue.getGlobalConcurrency(), await queue.getGlobalRateLimit()]);
  await kit.saw('take them back twice', async () => [
    await queue.removeGlobalConcurrency(),
    await queue.removeGlobalRateLimit(),
  ]);
  await kit.saw('meta without limits', () => queue.getMeta());
}
