// More of parents and their children: B-F14 to B-F26.

import { fail, jobInfo } from './scene.mjs';

export const scenarios = {
  // child with removeOnComplete keeps its value in the parent
  'B-F14': async c => {
    const f = c.flow();
    const cw = await c.worker('cq');
    await c.step('FlowProducer.add', async () =>
      jobInfo(
        await f.add({
          name: 'p',
          queueName: 'pq',
          opts: { jobId: 'P' },
          children: [{ name: 'c', queueName: 'cq', data: { ret: 'v' }, opts: { jobId: 'C1', removeOnComplete: true } }],
        }),
      ),
    );
    await c.step('C1 completes and is removed', () => c.runOne(cw));
  },

  // missing parent, exclusive options and forbidden combinations
  'B-F15': async c => {
    const f = c.flow();
    const q = await c.queue('q');
    await c.step('root with a parent option that does not exist', () =>
      f.add({ name: 'x', queueName: 'q', opts: { jobId: 'X', parent: { id: 'nope', queue: c.qualified('pq') } } }),
    );
    await c.step('Queue.add with missing parent', () =>
      q.add('x', {}, { parent: { id: 'nope', queue: c.qualified('pq') } }),
    );
    await c.step('two failure options', () =>
      q.add('x', {}, { failParentOnFailure: true, ignoreDependencyOnFailure: true }),
    );
    await c.step('deduplication + parent', () =>
      q.add('x', {}, { deduplication: { id: 'd' }, parent: { id: 'nope', queue: c.qualified('pq') } }),
    );
    await c.step('deduplication on a flow node with children', () =>
      f.add({
        name: 'x',
        queueName: 'q',
        opts: { deduplication: { id: 'a' } },
        children: [{ name: 'y', queueName: 'q' }],
      }),
    );
    await c.step('integer custom id', () => q.add('x', {}, { jobId: '12' }));
    await c.step('custom id with colon', () => q.add('x', {}, { jobId: 'a:b' }));
    await c.step('custom id with two colons (accepted)', async () => (await q.add('x', {}, { jobId: 'a:b:c' })).id);
  },

  // parent in another prefix, child added with a parent option
  'B-F16': async c => {
    const f = c.flow();
    const cw = await c.worker('cq');
    await c.step('flow with prefix per node', async () =>
      jobInfo(
        await f.add({
          name: 'p',
          queueName: 'pq',
          prefix: 'other',
          opts: { jobId: 'P' },
          children: [{ name: 'c', queueName: 'cq', data: { ret: 1 }, opts: { jobId: 'C1' } }],
        }),
      ),
    );
    await c.step('C1 completes: parent released in the other prefix', () => c.runOne(cw));
  },

  // queuesOptions defaultJobOptions per queue
  'B-F17': async c => {
    const f = c.flow();
    await c.step('FlowProducer.add with queuesOptions', async () =>
      jobInfo(
        await f.add(
          {
            name: 'p',
            queueName: 'pq',
            opts: { jobId: 'P' },
            children: [{ name: 'c', queueName: 'cq', opts: { jobId: 'C1', attempts: 5 } }],
          },
          {
            queuesOptions: {
              pq: { defaultJobOptions: { removeOnComplete: true } },
              cq: { defaultJobOptions: { attempts: 3, backoff: 100 } },
            },
          },
        ),
      ),
    );
  },

  // failParentOnFailure while the parent is active, then retry of the child
  'B-F18': async c => {
    const pq = await c.queue('pq');
    const cq = await c.queue('cq');
    const pw = await c.worker('pq');
    let bad = true;
    const cw = await c.worker('cq', async () => {
      if (bad) throw new Error('boom');
      return 'fine';
    });
    let job;
    await c.step('parent taken, child added with failParentOnFailure', async () => {
      await pq.add('p', {}, { jobId: 'P' });
      job = await pw.getNextJob('tok', { block: false });
      await cq.add('c', {}, { jobId: 'C1', failParentOnFailure: true, parent: { id: 'P', queue: c.qualified('pq') } });
    });
    c.clock.advance(10);
    await c.step('child fails while parent is active: defa set, parent not moved', () => c.runOne(cw));
    await c.step('moveToWaitingChildren (error -9)', () => job.moveToWaitingChildren('tok'));
    await c.step('moveToCompleted (error -9)', () => job.moveToCompleted(1, 'tok', false));
    await c.step('child.retry(): goes back to dependencies', async () => {
      await (await cq.getJob('C1')).retry();
    });
    await c.step('moveToWaitingChildren now accepted (defa still set)', () => job.moveToWaitingChildren('tok'));
    bad = false;
    c.clock.advance(10);
    await c.step('child completes on the retry: parent released', () => c.runOne(cw));
    await c.step('parent runs: the stale defa still fails it', () => c.runOne(pw));
  },

  // release of a parent into a paused queue: no marker
  'B-F19': async c => {
    const f = c.flow();
    const pq = await c.queue('pq');
    const cw = await c.worker('cq');
    await c.step('pause parent queue, add flow', async () => {
      await pq.pause();
      return jobInfo(
        await f.add({
          name: 'p',
          queueName: 'pq',
          opts: { jobId: 'P' },
          children: [{ name: 'c', queueName: 'cq', opts: { jobId: 'C1' } }],
        }),
      );
    });
    await c.step('C1 completes', () => c.runOne(cw));
    await c.step('resume', () => pq.resume());
  },

  // FlowProducer.addBulk of two flows, and getFlow depth/maxChildren
  'B-F20': async c => {
    const f = c.flow();
    await c.step('addBulk', async () =>
      (
        await f.addBulk([
          {
            name: 'a',
            queueName: 'q',
            opts: { jobId: 'A' },
            children: [{ name: 'a1', queueName: 'q', opts: { jobId: 'A1' } }],
          },
          {
            name: 'b',
            queueName: 'q',
            opts: { jobId: 'B' },
            children: [{ name: 'b1', queueName: 'q', opts: { jobId: 'B1' } }],
          },
        ])
      ).map(jobInfo),
    );
    await c.step('getFlow depth 1', async () => jobInfo(await f.getFlow({ id: 'A', queueName: 'q', depth: 1 })), {
      keys: false,
    });
    await c.step('getFlow default', async () => jobInfo(await f.getFlow({ id: 'A', queueName: 'q' })), { keys: false });
  },

  // dependency pagination shapes
  'B-F21': async c => {
    const f = c.flow();
    const pq = await c.queue('pq');
    const cw = await c.worker('cq', async job => {
      if (job.name === 'bad') throw new Error('boom');
      return job.name;
    });
    await c.step('flow with 4 children, two run, one ignored', async () => {
      await f.add({
        name: 'p',
        queueName: 'pq',
        opts: { jobId: 'P' },
        children: [
          { name: 'ok', queueName: 'cq', opts: { jobId: 'C1' } },
          { name: 'bad', queueName: 'cq', opts: { jobId: 'C2', ignoreDependencyOnFailure: true } },
          { name: 'ok', queueName: 'cq', opts: { jobId: 'C3' } },
          { name: 'ok', queueName: 'cq', opts: { jobId: 'C4' } },
        ],
      });
      await c.runOne(cw);
      await c.runOne(cw);
    });
    await c.step(
      'getters',
      async () => {
        const p = await pq.getJob('P');
        return {
          all: await p.getDependencies().then(r => ({ ...r, unprocessed: r.unprocessed.sort() })),
          processedPage: await p.getDependencies({ processed: { cursor: 0, count: 10 } }),
          unprocessedPage: await p
            .getDependencies({ unprocessed: {} })
            .then(r => ({ ...r, unprocessed: r.unprocessed.sort() })),
          ignoredPage: await p.getDependencies({ ignored: {} }),
          failedPage: await p.getDependencies({ failed: {} }),
          failedPageSecond: await p.getDependencies({ failed: { cursor: 20, count: 20 } }),
          counts: await p.getDependenciesCount(),
          countsOne: await p.getDependenciesCount({ ignored: true }),
          queueProcessed: await pq
            .getDependencies('P', 'processed', 0, -1)
            .then(r => ({ items: r.items, total: r.total, jobs: r.jobs.length })),
          queuePending: await pq
            .getDependencies('P', 'pending', 0, -1)
            .then(r => ({
              items: r.items.sort((a, b) => (a.id < b.id ? -1 : 1)),
              total: r.total,
              jobs: r.jobs.length,
            })),
        };
      },
      { keys: false },
    );
  },

  // child with a three part custom id: removal through the parent uses a wrong prefix
  'B-F22': async c => {
    const f = c.flow();
    const pq = await c.queue('pq');
    await c.step('add', async () =>
      jobInfo(
        await f.add({
          name: 'p',
          queueName: 'pq',
          opts: { jobId: 'P' },
          children: [{ name: 'c', queueName: 'cq', opts: { jobId: 'a:b:c' } }],
        }),
      ),
    );
    await c.step('Queue.remove(P)', () => pq.remove('P'));
  },

  // addBulk with a missing parent: no error, children of nothing
  'B-F23': async c => {
    const f = c.flow();
    await c.step('addBulk', async () =>
      (
        await f.addBulk([
          { name: 'a', queueName: 'q', opts: { jobId: 'A', parent: { id: 'nope', queue: c.qualified('pq') } } },
          { name: 'b', queueName: 'q', opts: { jobId: 'B' } },
        ])
      ).map(jobInfo),
    );
  },

  // failed dependency pagination beyond the first page
  'B-F24': async c => {
    const f = c.flow();
    const pq = await c.queue('pq');
    const cw = await c.worker('cq', fail);
    await c.step('parent with 3 failParentOnFailure children, all fail', async () => {
      await f.add({
        name: 'p',
        queueName: 'pq',
        opts: { jobId: 'P' },
        children: [1, 2, 3].map(n => ({
          name: 'c',
          queueName: 'cq',
          opts: { jobId: `C${n}`, failParentOnFailure: true },
        })),
      });
      for (let i = 0; i < 3; i++) {
        c.clock.advance(1);
        await c.runOne(cw);
      }
    });
    await c.step(
      'pages of 2',
      async () => {
        const p = await pq.getJob('P');
        return [
          await p.getDependencies({ failed: { cursor: 0, count: 2 } }),
          await p.getDependencies({ failed: { cursor: 2, count: 2 } }),
        ];
      },
      { keys: false },
    );
  },

  // removeUnprocessedChildren and clean on a waiting parent; obliterate leaves waiting-children
  'B-F25': async c => {
    const f = c.flow();
    const pq = await c.queue('pq');
    const tree = id => ({
      name: 'p',
      queueName: 'pq',
      opts: { jobId: id },
      children: [{ name: 'c', queueName: 'cq', opts: { jobId: `${id}-c` } }],
    });
    await c.step('add P and Q', async () => [jobInfo(await f.add(tree('P'))), jobInfo(await f.add(tree('Q')))]);
    await c.step('P.removeUnprocessedChildren: parent is released', async () =>
      (await pq.getJob('P')).removeUnprocessedChildren(),
    );
    await c.step('pq.obliterate()', () => pq.obliterate());
  },

  // removeOnFail without a failure option releases the parent; drain of a parent and child in the same and in another queue
  'B-F26': async c => {
    const f = c.flow();
    const cw = await c.worker('cq', fail);
    const cq = await c.queue('cq');
    await c.step('child with removeOnFail fails', async () => {
      await f.add({
        name: 'p',
        queueName: 'pq',
        opts: { jobId: 'P' },
        children: [{ name: 'c', queueName: 'cq', opts: { jobId: 'C', removeOnFail: true } }],
      });
      return c.runOne(cw);
    });
    await c.step('parent and child in queue cq, another parent in pq, then cq.drain()', async () => {
      await f.add({
        name: 'p',
        queueName: 'cq',
        opts: { jobId: 'SP' },
        children: [{ name: 'c', queueName: 'cq', opts: { jobId: 'SC' } }],
      });
      await f.add({
        name: 'p',
        queueName: 'pq',
        opts: { jobId: 'P2' },
        children: [{ name: 'c', queueName: 'cq', opts: { jobId: 'C2' } }],
      });
      await cq.drain();
    });
  },
};
