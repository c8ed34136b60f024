// Adding jobs: what is stored, what is answered, what is told.

export const virtual = true;

export async function run(kit) {
  const queue = kit.queue('q', { defaultJobOptions: { attempts: 2, keepLogs: 3 } });
  await queue.waitUntilReady();
  kit.note('default options', queue.defaultJobOptions);
  kit.note('meta values', queue.metaValues);
  await kit.saw('version', () => queue.getVersion());

  await kit.saw('plain', () => queue.add('a', { hello: 'world', list: [1, 'é', null, { deep: [] }] }));
  await kit.saw('no data', () => queue.add('a'));
  await kit.saw('null', () => queue.add('a', null));
  await kit.saw('text', () => queue.add('a', 'text "quoted"\n'));
  await kit.saw('delayed', () => queue.add('later', {}, { delay: 5000 }));
  await kit.saw('priority', () => queue.add('soon', {}, { priority: 7 }));
  await kit.saw('delayed with priority', () => queue.add('both', {}, { delay: 10, priority: 7 }));
  await kit.saw('lifo', () => queue.add('first', {}, { lifo: true }));
  await kit.saw('own id', () => queue.add('named', { v: 1 }, { jobId: 'mine' }));
  await kit.saw('own id again', () => queue.add('named', { v: 2 }, { jobId: 'mine' }));
  await kit.saw('every option', () =>
    queue.add(
      'full',
      { x: 1.5 },
      {
        attempts: 5,
        backoff: { type: 'exponential', delay: 200, jitter: 0.5 },
        removeOnComplete: { age: 3600, count: 10 },
        removeOnFail: 25,
        stackTraceLimit: 4,
        sizeLimit: 10000,
        timestamp: 1600000000123,
        failParentOnFailure: true,
        telemetry: { metadata: 'a/b=c', omitContext: false },
      },
    ),
  );
  await kit.saw('backoff as a number', () =>
    queue.add('full', {}, { backoff: 1500, removeOnComplete: true, removeOnFail: false }),
  );
  await kit.saw('option that nobody knows', () => queue.add('odd', {}, { custom: { list: [1, 2], deep: { f: 1.1 } } }));
  await kit.saw('large data', async () => (await queue.add('large', { text: 'x'.repeat(2_000_000) })).data.text.length);
  await kit.saw('large data read back', async () => (await queue.getJob('13'))?.data.text.length);
  await queue.remove('13');

  await kit.saw('bulk', () =>
    queue.addBulk([
      { name: 'b', data: { i: 1 } },
      { name: 'b', data: { i: 2 }, opts: { delay: 2000 } },
      { name: 'b', data: { i: 3 }, opts: { priority: 3 } },
      { name: 'b', data: { i: 4 }, opts: { jobId: 'b1' } },
      { name: 'b', data: { i: 5 }, opts: { jobId: 'b1' } },
    ]),
  );
  await kit.saw('empty bulk', () => queue.addBulk([]));

  const { Job } = kit.bullmq;
  await kit.saw('Job.create', () => Job.create(queue, 'made', { c: 1 }, { delay: 3 }));
  await kit.saw('Job.createBulk', () =>
    Job.createBulk(queue, [
      { name: 'made', data: 1 },
      { name: 'made', data: 2, opts: { lifo: true } },
    ]),
  );

  kit.note('whole', await kit.whole(queue));
  await kit.sawEvents();
}
