// Objects that are closed while they wait or work, and programs that call them afterwards.

export async function run(kit) {
  const queue = kit.queue();
  const quick = async (label, fn, ms = 3000) => {
    const begun = performance.now();
    await kit.saw(label, fn);
    kit.note(`${label}: at once`, performance.now() - begun < ms);
  };
  const idle = kit.worker('q', async () => 1, { drainDelay: 60 });
  await idle.waitUntilReady();
  await idle.delay(50);
  await quick('close while it waits', () => idle.close());
  await quick('close twice', () => idle.close());

  await queue.add('far', {}, { delay: 100000 });
  const waits = kit.worker('q', async () => 1, { drainDelay: 60 });
  await waits.waitUntilReady();
  await waits.delay(50);
  await quick('close while it waits for a delayed job', () => waits.close());

  let release;
  const slow = kit.worker(
    'q',
    () =>
      new Promise(resolve => {
        release = resolve;
      }),
  );
  await queue.add('slow', {}, { jobId: 'slow' });
  await kit.eventually('it works', () => release);
  const closing = slow.close();
  kit.note('closing', slow.closing !== undefined);
  await queue.add('next', {}, { jobId: 'next' });
  release('fine');
  await quick('close while it works', () => closing);
  kit.note('what became of them', [await queue.getJobState('slow'), await queue.getJobState('next')]);

  let started = false;
  const forced = kit.worker('q', () => {
    started = true;
    return new Promise(() => {});
  });
  await kit.eventually('it works', () => started);
  await quick('close by force', () => forced.close(true));
  kit.note('its job', await queue.getJobState('next'));

  const manual = kit.worker('q', null);
  const blocked = manual.getNextJob('t');
  await manual.delay(30);
  await quick('close under a blocked take', () => manual.close());
  // With nothing or with an error: BullMQ's own answer depends on who was faster.
  const ended = blocked.then(
    job => job === undefined,
    error => error.message === 'Connection is closed.',
  );
  await quick('the take', () => Promise.race([ended, new Promise(r => setTimeout(r, 12000, 'never'))]), 3000);

  const events = kit.queueEvents('q', { blockingTimeout: 60000 });
  await events.waitUntilReady();
  await new Promise(r => setTimeout(r, 30));
  await quick('close events while they wait', () => events.close());
  const gone = kit.queue('gone');
  await gone.waitUntilReady();
  await gone.add('a', {});
  await quick('close a queue', () => gone.close());
  await quick('disconnect a queue', () => kit.queue('cut').disconnect());
  const flow = kit.flow();
  await flow.waitUntilReady();
  await quick('close a flow producer', () => flow.close());
  await quick('disconnect a flow producer', () => kit.flow().disconnect());
  const producer = kit.producer();
  await producer.waitUntilReady();
  await quick('close a producer', () => producer.close());
  const paused = kit.worker('q', async () => 1);
  await paused.waitUntilReady();
  await paused.pause();
  await quick('close while paused', () => paused.close());
  kit.note('the others live', await queue.getJobCounts());
}
