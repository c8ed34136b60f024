// What remains of the faces of the classes: workers that are listed, events of one's own, traces, names.

export async function run(kit) {
  const queue = kit.queue();
  await queue.waitUntilReady();
  kit.note('names', {
    name: queue.name,
    qualified: queue.qualifiedName,
    key: queue.toKey('wait'),
    backend: typeof queue.getBackend(),
  });
  kit.note('keys', queue.keys);
  kit.note('parsed key', queue.getBackend().parseNodeKey(`${queue.qualifiedName}:some:id`));
  await kit.saw('trace', () => queue.trace(kit.bullmq.SpanKind.INTERNAL, 'op', 'q', async () => 'traced'));
  const heard = [];
  queue.once('progress', (job, progress) => heard.push([job?.id ?? job, progress]));
  const off = () => heard.push('off');
  queue.on('removed', off);
  queue.off('removed', off);
  queue.on('removed', job => heard.push(['removed', job?.id ?? job]));
  kit.note('emit', queue.emit('progress', 'j', 1));
  const job = await queue.add('a', {});
  await queue.updateJobProgress(job.id, 3);
  await queue.remove(job.id);
  kit.note('heard', heard);

  await kit.saw('no workers', () => queue.getWorkersCount());
  const named = kit.worker('q', async () => 1, { name: 'n1' });
  const plain = kit.worker('q', async () => 1);
  const elsewhere = kit.worker('other', async () => 1, { name: 'n2' });
  await Promise.all([named, plain, elsewhere].map(worker => worker.waitUntilReady()));
  await kit.eventually('both are listed', async () => (await queue.getWorkersCount()) === 2);
  kit.note(
    'workers',
    (await queue.getWorkers())
      .map(({ name, rawname }) => ({ name, rawname }))
      .sort((a, b) => (a.rawname < b.rawname ? -1 : 1)),
  );
  await kit.saw('events objects', async () => (await queue.getQueueEvents()).length);
  await named.close();
  await kit.eventually('one is left', async () => (await queue.getWorkersCount()) === 1);

  const worker = kit.worker('hand', null);
  await kit.saw('trace of a worker', () => worker.trace(kit.bullmq.SpanKind.INTERNAL, 'op', 'q', async () => 'traced'));
  const told = [];
  worker.once('drained', () => told.push('drained'));
  const never = () => told.push('never');
  worker.on('paused', never);
  worker.off('paused', never);
  kit.note('emit of a worker', worker.emit('drained'));
  kit.note('told', told);
  const scheduler = await worker.jobScheduler;
  await kit.saw('scheduler of a worker', () => scheduler.getSchedulersCount());
  await kit.saw('a worker without a processor', () => worker.run());
  await worker.disconnect();
  const flow = kit.flow();
  flow.once('error', error => told.push(error.message));
  const nobody = () => told.push('nobody');
  flow.on('error', nobody);
  flow.off('error', nobody);
  flow.emit('error', new Error('by hand'));
  kit.note('told by a flow producer', told.slice(1));
  const events = kit.queueEvents('q');
  kit.note('events object', events.name);
  for (const opts of [
    { concurrency: 0 },
    { maxStalledCount: -1 },
    { stalledInterval: 0 },
    { drainDelay: 0 },
    { maxStartedAttempts: -1 },
  ]) {
    await kit.saw(`worker with ${JSON.stringify(opts)}`, () => {
      kit.worker('odd', async () => 1, { autorun: false, ...opts });
    });
  }
}
