// QueueEvents: what listeners get, from where, and events of one's own.

import { boom } from '../kit.mjs';

export async function run(kit) {
  const queue = kit.queue();
  const worker = kit.worker();
  const names = [
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
    'deduplicated',
    'retries-exhausted',
    'stalled',
    'waiting-children',
    'drained',
    'mine',
  ];
  const got = [];
  const live = kit.queueEvents('q');
  for (const name of names)
    live.on(name, (args, id) => got.push([name, name === 'drained' ? typeof args : args, typeof id]));
  live.on('completed:2', args => got.push(['completed:2', args]));
  live.once('added', () => got.push(['once']));
  const never = () => got.push(['never']);
  live.on('added', never);
  live.off('added', never);
  await live.waitUntilReady();
  await kit.eventually('it listens', async () => {
    if (!got.length) await kit.producer().publishEvent({ eventName: 'mine', hello: 'there' });
    return got.length;
  });
  await kit.eventually('it is quiet', async () => {
    const n = got.length;
    await new Promise(r => setTimeout(r, 60));
    return got.length === n;
  });
  got.length = 0;
  await kit.saw('run twice', () => live.run());

  await queue.pause();
  await queue.resume();
  await queue.add('a', {}, { jobId: 'x' });
  await queue.add('a', {}, { jobId: 'x' });
  const take = () => worker.getNextJob('t', { block: false });
  let job = await take();
  await job.updateProgress({ p: 1 });
  await job.moveToCompleted({ r: 1 }, 't', false);
  await queue.add('b', {}, { deduplication: { id: 'D' } });
  await queue.add('b', {}, { deduplication: { id: 'D' } });
  job = await take();
  await job.moveToFailed(boom('bad'), 't');
  await queue.add('c', {}, { delay: 100000 });
  await queue.drain(true);
  await queue.clean(0, 0, 'completed');
  const producer = kit.producer();
  await producer.waitUntilReady();
  await kit.saw('publish', () => producer.publishEvent({ eventName: 'mine', jobId: 'J', n: 3, text: 'é' }));
  await producer.publishEvent({ eventName: 'mine', last: 'yes' }, 500);
  await kit.eventually('all came', () => got.some(([name, args]) => name === 'mine' && args.last));
  kit.note('heard live', got);

  const old = [];
  const replay = kit.queueEvents('q', { lastEventId: '0-0', autorun: false, blockingTimeout: 200 });
  for (const name of names) replay.on(name, args => old.push([name, name === 'drained' ? typeof args : args]));
  replay.run();
  await kit.eventually('all came again', () => old.some(([name, args]) => name === 'mine' && args.last));
  kit.note(
    'heard from the start',
    old.filter(([name, args]) => name !== 'mine' || !args.hello),
  );
  kit.note('emit', live.emit('mine', { by: 'hand' }, '1-1'));
  kit.note('backend', typeof live.getBackend().readEvents);
  const ids = [];
  const first = kit.queueEvents('q', { lastEventId: '0-0' });
  first.on('completed', (args, id) => ids.push(id));
  first.on('failed', (args, id) => ids.push(id));
  await kit.eventually('two ends came', () => ids.length === 2);
  const [at, next] = ids.map(id => id.split('-').map(Number));
  kit.note('ids grow', at[0] < next[0] || (at[0] === next[0] && at[1] < next[1]));
  const rest = [];
  const later = kit.queueEvents('q', { lastEventId: ids[0] });
  for (const name of names) later.on(name, args => rest.push(name === 'drained' ? name : (args.jobId ?? name)));
  await kit.eventually('the rest came', () => rest.filter(name => name === 'mine').length >= 1 && rest.includes('J'));
  kit.note('heard from the middle', rest.slice(0, 6));

  await kit.saw('trim', async () => {
    await queue.trimEvents(0);
  });
  kit.note('after the trim', (await kit.events()).length);
  await live.close();
  await replay.disconnect();

  const finished = kit.queueEvents('q');
  await finished.waitUntilReady();
  const runner = kit.worker('q', async j => {
    if (j.name === 'bad') throw new Error('no');
    return { v: j.data.v };
  });
  await runner.waitUntilReady();
  const ok = await queue.add('ok', { v: 9 });
  await kit.saw('wait until finished', () => ok.waitUntilFinished(finished));
  await kit.saw('wait when it is finished', () => ok.waitUntilFinished(finished));
  const bad = await queue.add('bad', {});
  await kit.saw('wait for one that fails', () => bad.waitUntilFinished(finished));
  const many = await queue.addBulk(Array.from({ length: 40 }, (_, v) => ({ name: v % 4 ? 'ok' : 'bad', data: { v } })));
  const ends = await Promise.allSettled(many.map(job => job.waitUntilFinished(finished)));
  kit.note(
    'wait for many',
    ends.map(({ value, reason }) => value?.v ?? reason.message),
  );
  const late = await queue.add('late', {}, { delay: 100000 });
  await kit.saw('wait too short', () => late.waitUntilFinished(finished, 50));
  await late.remove();
  await kit.saw('wait for what is gone', () => late.waitUntilFinished(finished));
}
