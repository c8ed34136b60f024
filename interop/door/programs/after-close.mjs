// Calls of objects that are closed.

export async function run(kit) {
  const ended = promise =>
    Promise.race([
      promise.then(
        value => value,
        error => ({ error }),
      ),
      new Promise(r => setTimeout(r, 1500, 'no answer')),
    ]);
  const queue = kit.queue();
  const job = await queue.add('a', {});
  await queue.close();
  kit.note('add', await ended(queue.add('b', {})));
  kit.note('counts', await ended(queue.getJobCounts()));
  kit.note('job', await ended(job.getState()));
  kit.note('close again', await ended(queue.close()));
  const worker = kit.worker('q', null);
  await worker.waitUntilReady();
  await worker.close();
  kit.note('take', await ended(worker.getNextJob('t', { block: false })));
  kit.note('take and wait', await ended(worker.getNextJob('t')));
  const flow = kit.flow();
  await flow.waitUntilReady();
  await flow.close();
  kit.note('flow', await ended(flow.add({ name: 'x', queueName: 'q' })));
  const producer = kit.producer();
  await producer.waitUntilReady();
  await producer.close();
  kit.note('publish', await ended(producer.publishEvent({ eventName: 'x' })));
  const events = kit.queueEvents();
  await events.waitUntilReady();
  await events.close();
  kit.note('closed events', await ended(events.close()));
  const other = kit.queue();
  kit.note('others go on', await other.getJobCounts());
}
