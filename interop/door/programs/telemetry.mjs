// Spans and figures, and the context that a job carries.

export const virtual = true;

export async function run(kit) {
  const log = [];
  const tel = {
    tracer: {
      startSpan: (name, o, ctx) => {
        const s = { name, kind: o.kind, parent: ctx ? ctx.tag : undefined, attributes: {}, events: [] };
        log.push(s);
        return {
          setSpanOnContext: x => ({ tag: `${x.tag}>${name}` }),
          setAttribute: (k, v) => (s.attributes[k] = v),
          setAttributes: a => Object.assign(s.attributes, a),
          addEvent: (n, a) => s.events.push([n, a]),
          recordException: e => s.events.push(['exception', String(e.message || e)]),
          end: () => (s.ended = true),
        };
      },
    },
    contextManager: {
      with: (x, fn) => fn(),
      active: () => ({ tag: 'root' }),
      getMetadata: x => JSON.stringify(x),
      fromMetadata: (a, m) => JSON.parse(m),
    },
    meter: {
      createCounter: n => ({ add: (v, a) => log.push({ counter: n, v, a }) }),
      createHistogram: n => ({ record: (v, a) => log.push({ histogram: n, v, a }) }),
      createGauge: n => ({ record: (v, a) => log.push({ gauge: n, v, a }) }),
    },
  };
  const q = kit.queue('q', { telemetry: tel });
  const w = kit.worker('q', async () => 1, { telemetry: tel, name: 'wn', autorun: false });
  const f = kit.flow({ telemetry: tel });
  const drain = () =>
    log
      .splice(0, log.length)
      .map(s => ({
        ...s,
        attributes: s.attributes && {
          ...s.attributes,
          ...(s.attributes['bullmq.worker.id'] ? { 'bullmq.worker.id': '<worker>' } : {}),
        },
      }));
  await kit.saw('add', async () => {
    await q.add('a', {}, { jobId: 'J1' });
    return drain();
  });
  await kit.saw('add with omitContext', async () => {
    await q.add('a', {}, { jobId: 'J2', telemetry: { omitContext: true } });
    return drain();
  });
  await kit.saw('addBulk', async () => {
    await q.addBulk([{ name: 'b', data: {}, opts: { jobId: 'J3' } }]);
    return drain();
  });
  kit.clock.advance(7);
  await kit.saw('process J1', async () => {
    const job = await w.getNextJob('tok', { block: false });
    await w.processJob(job, 'tok', () => false);
    return drain();
  });
  await kit.saw('flow', async () => {
    await f.add({
      name: 'r',
      queueName: 'q',
      opts: { jobId: 'R' },
      children: [{ name: 'k', queueName: 'q', opts: { jobId: 'K' } }],
    });
    return drain();
  });
  await kit.saw('upsertJobScheduler', async () => {
    await q.upsertJobScheduler('s', { every: 60000 }, { name: 'sn' });
    return drain();
  });
  await kit.saw(
    'pause, resume, remove, clean, drain, retryJobs, promoteJobs, trimEvents, recordJobCountsMetric',
    async () => {
      await q.pause();
      await q.resume();
      await q.remove('J2');
      await q.clean(0, 10, 'completed');
      await q.retryJobs();
      await q.promoteJobs();
      await q.trimEvents(1000);
      await q.recordJobCountsMetric('waiting', 'active');
      return drain();
    },
  );
}
