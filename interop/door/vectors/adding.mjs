// Adding jobs, and what is refused.

export const scenarios = {
  // construct a queue, then add one job
  'A-01': async c => {
    let q;
    await c.step('construct queue', async () => {
      q = await c.queue();
    });
    await c.step('add', () => q.add('job-a', { hello: 'world' }));
  },

  // producer with skipMetasUpdate: first add creates only the default event limit
  'A-02': async c => {
    const q = await c.queue({ skipMetasUpdate: true });
    await c.step('add', () => q.add('job-a', { n: 1 }));
  },

  // three FIFO jobs then one LIFO job
  'A-03': async c => {
    const q = await c.queue();
    await c.step('add 1', () => q.add('a', {}));
    await c.step('add 2', () => q.add('b', {}));
    await c.step('add 3', () => q.add('c', {}));
    await c.step('add 4 lifo', () => q.add('d', {}, { lifo: true }));
  },

  // one delayed job (5000 ms)
  'A-04': async c => {
    const q = await c.queue();
    await c.step('add delayed', () => q.add('later', { x: 1 }, { delay: 5000 }));
  },

  // delayed jobs with equal due time: sequence bits and marker score
  'A-05': async c => {
    const q = await c.queue();
    await c.step('delay 5000', () => q.add('a', {}, { delay: 5000 }));
    await c.step('delay 5000 again', () => q.add('b', {}, { delay: 5000 }));
    await c.step('delay 5000 third', () => q.add('c', {}, { delay: 5000 }));
    await c.step('delay 1000', () => q.add('d', {}, { delay: 1000 }));
    await c.step('remove job 4', () => q.remove('4'));
    await c.step('remove job 1 (marker keeps its score)', () => q.remove('1'));
    await c.step('add delay 9000: marker rewritten from the lowest member', () => q.add('e', {}, { delay: 9000 }));
  },

  // priorities 5, 1, 5, then 0
  'A-06': async c => {
    const q = await c.queue();
    await c.step('prio 5', () => q.add('a', {}, { priority: 5 }));
    await c.step('prio 1', () => q.add('b', {}, { priority: 1 }));
    await c.step('prio 5 again', () => q.add('c', {}, { priority: 5 }));
    await c.step('prio 0', () => q.add('d', {}, { priority: 0 }));
    const w = await c.worker();
    await c.step('take #1', () => c.take(w, 'tok-1'));
    await c.step('take #2', () => c.take(w, 'tok-2'));
    await c.step('take #3', () => c.take(w, 'tok-3'));
    await c.step('take #4', () => c.take(w, 'tok-4'));
    await c.step('take on empty: counter key removed', () => c.take(w, 'tok-5'));
  },

  // custom job id and duplicate add
  'A-07': async c => {
    const q = await c.queue();
    await c.step('add id=my-id', () => q.add('a', { v: 1 }, { jobId: 'my-id' }));
    await c.step('add id=my-id again', async () => (await q.add('b', { v: 2 }, { jobId: 'my-id' })).id);
    await c.step('add without id (counter was spent twice)', async () => (await q.add('c', {})).id);
  },

  // every job option, as stored
  'A-08': async c => {
    const q = await c.queue({ defaultJobOptions: { attempts: 2, keepLogs: 7 } });
    await c.step('numeric backoff, boolean removal', () =>
      q.add(
        'a',
        { a: [] },
        { backoff: 1500, removeOnComplete: true, removeOnFail: false, lifo: false, delay: 0, priority: 0 },
      ),
    );
    await c.step('object options', () =>
      q.add(
        'b',
        { path: 'x/y', u: 'é' },
        {
          attempts: 5,
          backoff: { type: 'exponential', delay: 200, jitter: 0.5 },
          removeOnComplete: { age: 3600, count: 10, limit: 50 },
          removeOnFail: 25,
          keepLogs: 3,
          stackTraceLimit: 4,
          sizeLimit: 10000,
          failParentOnFailure: true,
          timestamp: 1600000000123,
          telemetry: { metadata: 'a/b=c', omitContext: false },
        },
      ),
    );
    await c.step('remaining short names', () => q.add('c', null, { ignoreDependencyOnFailure: true }));
    await c.step('remaining short names 2', () => q.add('d', undefined, { continueParentOnFailure: true }));
    await c.step('remaining short names 3', () => q.add('e', 'text', { removeDependencyOnFailure: true }));
    await c.step('deduplication', () => q.add('f', 5, { deduplication: { id: 'dd', ttl: 60000 } }));
    await c.step('unknown option is stored as is; arrays and nulls', () =>
      q.add('g', true, { custom: { list: [1, 2], empty: [], nothing: null, deep: { big: 1700000000000123, f: 1.1 } } }),
    );
  },

  // addBulk with mixed kinds
  'A-09': async c => {
    const q = await c.queue();
    await c.step('addBulk', async () =>
      (
        await q.addBulk([
          { name: 'a', data: { i: 1 } },
          { name: 'b', data: { i: 2 }, opts: { delay: 2000 } },
          { name: 'c', data: { i: 3 }, opts: { priority: 3 } },
          { name: 'd', data: { i: 4 }, opts: { jobId: 'x1' } },
          { name: 'e', data: { i: 5 }, opts: { jobId: 'x1' } },
        ])
      ).map(j => j.id),
    );
  },

  // pause, add every kind, resume
  'A-10': async c => {
    const q = await c.queue();
    await c.step('pause', () => q.pause());
    await c.step('pause again', () => q.pause());
    await c.step('add standard', () => q.add('a', {}));
    await c.step('add prioritized', () => q.add('b', {}, { priority: 2 }));
    await c.step('add delayed', () => q.add('c', {}, { delay: 3000 }));
    await c.step('counts', () => q.getJobCounts(), { keys: false });
    await c.step('state of 1', () => q.getJobState('1'), { keys: false });
    const w = await c.worker();
    await c.step('take while paused', () => c.take(w, 'tok-1'));
    c.clock.advance(3000);
    await c.step('take while paused, delayed job due', () => c.take(w, 'tok-2'));
    await c.step('resume', () => q.resume());
    await c.step('resume again', () => q.resume());
    await c.step('take after resume', () => c.take(w, 'tok-3'));
  },

  // resume with only delayed jobs; resume on an empty queue
  'A-11': async c => {
    const q = await c.queue();
    await c.step('pause', () => q.pause());
    await c.step('resume empty', () => q.resume());
    await c.step('pause 2', () => q.pause());
    await c.step('add delayed', () => q.add('a', {}, { delay: 3000 }));
    await c.step('resume', () => q.resume());
  },

  // validation errors on add
  'A-48': async c => {
    const q = await c.queue();
    const t = (label, o, d = {}) => c.step(label, async () => (await q.add('a', d, o)).id, { keys: false });
    await t('integer id', { jobId: '12' });
    await t('negative integer id', { jobId: '-7' });
    await t('leading zero id is allowed', { jobId: '007' });
    await t('id 0', { jobId: '0' });
    await t('id starting 0:', { jobId: '0:x' });
    await t('one colon', { jobId: 'a:b' });
    await t('two colons allowed', { jobId: 'a:b:c' });
    await t('three colons', { jobId: 'a:b:c:d' });
    await t('empty id is automatic', { jobId: '' });
    await t('reserved name is treated as an existing job', { jobId: 'meta' });
    await t('priority float', { priority: 1.5 });
    await t('priority too big', { priority: 2097152 });
    await t('priority max', { priority: 2097151 });
    await t('priority negative', { priority: -3 });
    await t('negative delay', { delay: -500 });
    await t('fractional delay', { delay: 100.5 });
    await t('jitter out of range', { backoff: { type: 'fixed', delay: 1, jitter: 2 } });
    await t('size limit', { sizeLimit: 5 }, { long: 'abcdef' });
    await t('two exclusive options', { failParentOnFailure: true, ignoreDependencyOnFailure: true });
    await t('debounce', { debounce: { id: 'x' } });
    await t('dedup without id', { deduplication: { id: '' } });
    await t('missing parent', { parent: { id: 'nope', queue: c.qualified('vec') } });
    await c.step('after', async () => {});
    for (const n of ['a:b', '']) {
      await c.step(
        `queue name ${JSON.stringify(n)}`,
        async () => {
          c.kit.queue(n);
        },
        { keys: false },
      );
    }
  },

  // events: maxLen option, custom event, trimEvents
  'A-49': async c => {
    const q = await c.queue({ streams: { events: { maxLen: 5 } } });
    await c.step('meta', async () => {});
    await c.step('add', () => q.add('a', {}));
    const p = c.kit.producer('vec');
    await c.step('publish custom', () => p.publishEvent({ eventName: 'my-event', foo: 'bar', n: 3 }));
    await c.step('trimEvents(0)', async () => {
      await q.trimEvents(0);
    });
  },
};
