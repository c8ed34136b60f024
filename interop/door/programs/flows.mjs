// Trees of jobs: how they are added, what parents learn of their children, and what becomes of them.

import { boom } from '../kit.mjs';

export const virtual = true;

export async function run(kit) {
  const flow = kit.flow();
  await flow.waitUntilReady();
  const parents = kit.queue('parents');
  const kids = kit.queue('kids');
  const parentWorker = kit.worker('parents');
  const kidWorker = kit.worker('kids');
  const end = async (worker, fn) => {
    kit.clock.advance(10);
    const job = await worker.getNextJob('t', { block: false });
    if (!job) return 'nothing';
    await fn(job);
    return job.id;
  };
  const complete = (worker, value) => end(worker, job => job.moveToCompleted(value, 't', false));
  const fail = (worker, Kind = Error) => end(worker, job => job.moveToFailed(boom('no', 1, Kind), 't'));
  const step = async (label, fn) => {
    await kit.saw(label, fn);
    await kit.sawEvents(`${label}: events of parents`, 'parents');
    await kit.sawEvents(`${label}: events of kids`, 'kids');
  };
  const kid = (jobId, opts = {}, data = {}) => ({ name: 'kid', queueName: 'kids', data, opts: { jobId, ...opts } });
  const tree = (jobId, children, opts = {}) => ({
    name: 'parent',
    queueName: 'parents',
    data: { of: jobId },
    opts: { jobId, ...opts },
    children,
  });

  await step('a tree', () => flow.add(tree('P1', [kid('K1', {}, { n: 1 }), kid('K2')])));
  await step('first kid', () => complete(kidWorker, { one: 1 }));
  const p1 = await parents.getJob('P1');
  await step('dependencies', () => p1.getDependencies());
  await step('their count', () => p1.getDependenciesCount());
  await step('some of their counts', () => p1.getDependenciesCount({ processed: true, failed: true }));
  await step('values', () => p1.getChildrenValues());
  await step('its state', () => p1.getState());
  await step('second kid', () => complete(kidWorker, 'two'));
  await step('values', () => p1.getChildrenValues());
  await step('the tree', () => flow.getFlow({ id: 'P1', queueName: 'parents' }));
  await step('the tree, not deep', () => flow.getFlow({ id: 'P1', queueName: 'parents', depth: 1 }));
  await step('a tree that is not there', () => flow.getFlow({ id: '404', queueName: 'parents' }));
  await step('pages of the queue', async () => {
    const { items, jobs, total } = await parents.getDependencies('P1', 'processed', 0, -1);
    return { items: items.sort((a, b) => (a.id < b.id ? -1 : 1)), jobs: jobs.length, total };
  });
  await step('parent', () => complete(parentWorker, 'sum'));

  for (const option of [
    'failParentOnFailure',
    'continueParentOnFailure',
    'ignoreDependencyOnFailure',
    'removeDependencyOnFailure',
  ]) {
    const [p, a, b] = [`P-${option}`, `A-${option}`, `B-${option}`];
    await step(`${option}: tree`, () => flow.add(tree(p, [kid(a, { [option]: true, lifo: true }), kid(b)])));
    await step(`${option}: it fails`, () => fail(kidWorker));
    const parent = await parents.getJob(p);
    await step(`${option}: state`, () => parent.getState());
    await step(`${option}: dependencies`, () => parent.getDependencies());
    await step(`${option}: counts`, () => parent.getDependenciesCount());
    await step(`${option}: ignored`, () => parent.getIgnoredChildrenFailures());
    await step(`${option}: failed, as v5 asked`, () => parent.getFailedChildrenValues());
    await step(`${option}: the other`, () => complete(kidWorker, 'b'));
    await step(`${option}: parent taken`, async () => {
      const taken = await parentWorker.getNextJob('t', { block: false });
      if (!taken) return 'nothing';
      await (taken.deferredFailure
        ? taken.moveToFailed(boom(taken.deferredFailure), 't')
        : taken.moveToCompleted('ok', 't', false));
      return kit.job(await parents.getJob(p));
    });
  }

  await step('ranked and delayed parents', () =>
    flow.addBulk([tree('PR', [kid('KR')], { priority: 5 }), tree('PD', [kid('KD')], { delay: 3000 })]),
  );
  await step('their kids', async () => [await complete(kidWorker, 1), await complete(kidWorker, 2)]);
  kit.note('where they are', await parents.getJobCounts());
  await parents.drain(true);

  await step('own options per queue', () =>
    flow.add(tree('PO', [kid('KO')]), {
      queuesOptions: {
        parents: { defaultJobOptions: { removeOnComplete: true } },
        kids: { defaultJobOptions: { attempts: 3, backoff: 100 } },
      },
    }),
  );
  kit.note('KO', (await kids.getJob('KO')).opts);
  const po = await parents.getJob('PO');
  await step('forget the unprocessed', () => po.removeUnprocessedChildren());
  kit.note('PO and KO', [await parents.getJobState('PO'), await kids.getJobState('KO')]);

  await step('one more', () => flow.add(tree('PX', [kid('KX'), kid('KY')])));
  const kx = await kids.getJob('KX');
  await step('a kid leaves', () => kx.removeChildDependency());
  await step('a kid leaves twice', () => kx.removeChildDependency());
  await step('remove the parent', () => parents.remove('PX'));
  kit.note('what is left', [await kids.getJobState('KX'), await kids.getJobState('KY')]);
  await step('parent alone', async () => {
    await flow.add(tree('PZ', [kid('KZ')]));
    await parents.remove('PZ', { removeChildren: false });
    return kids.getJobState('KZ');
  });

  await kids.drain();
  const plain = await parents.add('plain', {}, { jobId: 'PP', lifo: true });
  const taken = await parentWorker.getNextJob('t', { block: false });
  await step('waits for nothing', () => taken.moveToWaitingChildren('t'));
  await step('adds a kid', () =>
    kids.add('kid', { late: true }, { jobId: 'KP', parent: { id: plain.id, queue: parents.qualifiedName } }),
  );
  await step('cannot complete', () => taken.moveToCompleted(1, 't', false));
  await step('waits', () => taken.moveToWaitingChildren('t'));
  await step('the late kid', () => complete(kidWorker, 'late'));
  await step('runs again', () => complete(parentWorker, 'done'));
  await step('three levels', () =>
    flow.add(tree('G', [{ ...tree('M', [kid('L1'), kid('L2', { delay: 10 })]) }, kid('L3', { priority: 2 })])),
  );
  await step('three levels back', () => flow.getFlow({ id: 'G', queueName: 'parents', depth: 5, maxChildren: 5 }));
  await step('duplicate tree', () => flow.add(tree('G', [kid('L1')])));
  await step('root with a parent that is not there', () =>
    flow.add({
      name: 'x',
      queueName: 'kids',
      opts: { jobId: 'X', parent: { id: 'nope', queue: parents.qualifiedName } },
    }),
  );
  await step('deduplication on a parent', () =>
    flow.add({ name: 'x', queueName: 'kids', opts: { deduplication: { id: 'a' } }, children: [kid('KV')] }),
  );
  kit.note('backend', typeof flow.getBackend().addFlow);
  kit.note('whole parents', await kit.whole(parents));
  kit.note('whole kids', await kit.whole(kids));
}
