// Flows: B-F01 to B-F13.

import { fail, jobInfo } from './scene.mjs';

const opt3 = (option, extra = {}) => ({
  name: 'g',
  queueName: 'gq',
  opts: { jobId: 'G' },
  children: [
    {
      name: 'p',
      queueName: 'pq',
      opts: { jobId: 'P', [option]: true, ...extra },
      children: [
        { name: 'c', queueName: 'cq', opts: { jobId: 'C1', [option]: true } },
        { name: 'c', queueName: 'cq', opts: { jobId: 'C2' } },
      ],
    },
  ],
});

export const scenarios = {
  // two level flow in two queues: add, run both children, run parent
  'B-F01': async c => {
    const f = c.flow();
    const cw = await c.worker('child');
    const pw = await c.worker('parent');
    await c.step('FlowProducer.add', async () =>
      jobInfo(
        await f.add({
          name: 'root',
          queueName: 'parent',
          data: { ret: 'sum' },
          opts: { jobId: 'P' },
          children: [
            { name: 'c', queueName: 'child', data: { ret: 1 }, opts: { jobId: 'C1' } },
            { name: 'c', queueName: 'child', data: { ret: { x: 2 } }, opts: { jobId: 'C2' } },
          ],
        }),
      ),
    );
    c.clock.advance(10);
    await c.step('run one child', () => c.runOne(cw));
    c.clock.advance(10);
    await c.step('run the second child (parent is released)', () => c.runOne(cw));
    c.clock.advance(10);
    await c.step('run the parent', () => c.runOne(pw));
    await c.step('getters', async () => {
      const q = await c.queue('parent');
      const p = await q.getJob('P');
      return {
        childrenValues: await p.getChildrenValues(),
        dependencies: await p.getDependencies(),
        counts: await p.getDependenciesCount(),
        flow: jobInfo(await f.getFlow({ id: 'P', queueName: 'parent' })),
      };
    });
  },

  // three level flow without job ids (uuid ids), same queue
  'B-F02': async c => {
    const f = c.flow();
    await c.step('FlowProducer.add', async () =>
      jobInfo(
        await f.add({
          name: 'g',
          queueName: 'q',
          children: [
            { name: 'p', queueName: 'q', children: [{ name: 'c', queueName: 'q', data: 1 }] },
            { name: 'leaf', queueName: 'q', opts: { priority: 3 } },
            { name: 'later', queueName: 'q', opts: { delay: 5000 } },
          ],
        }),
      ),
    );
  },

  // failParentOnFailure over three levels and three queues
  'B-F03': async c => {
    const f = c.flow();
    const cw = await c.worker('cq', fail);
    const pw = await c.worker('pq');
    const gw = await c.worker('gq');
    await c.step('FlowProducer.add', async () => jobInfo(await f.add(opt3('failParentOnFailure'))));
    c.clock.advance(10);
    await c.step('C1 fails: parent gets defa and goes to wait', () => c.runOne(cw));
    c.clock.advance(10);
    await c.step('a worker takes P and fails it because of defa; G gets defa', () => c.runOne(pw));
    c.clock.advance(10);
    await c.step('a worker takes G and fails it', () => c.runOne(gw));
    await c.step('getDependencies of P', async () => {
      const p = await (await c.queue('pq')).getJob('P');
      return { deps: await p.getDependencies(), counts: await p.getDependenciesCount(), failedReason: p.failedReason };
    });
  },

  // ignoreDependencyOnFailure
  'B-F04': async c => {
    const f = c.flow();
    const cw = await c.worker('cq', async job => {
      if (job.id === 'C1') throw new Error('boom');
      return 'ok';
    });
    await c.step('FlowProducer.add', async () => jobInfo(await f.add(opt3('ignoreDependencyOnFailure'))));
    c.clock.advance(10);
    await c.step('C1 fails: moved to P:failed, P still waits for C2', () => c.runOne(cw));
    c.clock.advance(10);
    await c.step('C2 completes: P released', () => c.runOne(cw));
    await c.step('getters', async () => {
      const p = await (await c.queue('pq')).getJob('P');
      return {
        ignored: await p.getIgnoredChildrenFailures(),
        deps: await p.getDependencies(),
        counts: await p.getDependenciesCount(),
      };
    });
  },

  // removeDependencyOnFailure (only child fails: parent released)
  'B-F05': async c => {
    const f = c.flow();
    const cw = await c.worker('cq', fail);
    await c.step('FlowProducer.add', async () =>
      jobInfo(
        await f.add({
          name: 'p',
          queueName: 'pq',
          opts: { jobId: 'P' },
          children: [{ name: 'c', queueName: 'cq', opts: { jobId: 'C1', removeDependencyOnFailure: true } }],
        }),
      ),
    );
    c.clock.advance(10);
    await c.step('C1 fails', () => c.runOne(cw));
  },

  // continueParentOnFailure, then complete with pending children, then removeUnprocessedChildren
  'B-F06': async c => {
    const f = c.flow();
    const cw = await c.worker('cq', fail);
    const pq = await c.queue('pq');
    await c.step('FlowProducer.add', async () =>
      jobInfo(
        await f.add({
          name: 'p',
          queueName: 'pq',
          opts: { jobId: 'P' },
          children: [
            { name: 'c', queueName: 'cq', opts: { jobId: 'C1', continueParentOnFailure: true } },
            { name: 'c', queueName: 'cq', opts: { jobId: 'C2' } },
            { name: 'c', queueName: 'cq', opts: { jobId: 'C3', delay: 60000 } },
          ],
        }),
      ),
    );
    c.clock.advance(10);
    await c.step('C1 fails: P released while C2 and C3 are pending', () => c.runOne(cw));
    const pw = await c.worker('pq');
    let job;
    await c.step('take P', async () => {
      job = await pw.getNextJob('tok', { block: false });
      return job.id;
    });
    await c.step('complete P with pending children (error -4)', () => job.moveToCompleted('x', 'tok', false));
    await c.step('P.removeUnprocessedChildren()', () => job.removeUnprocessedChildren());
    c.clock.advance(5);
    await c.step('complete P', async () => {
      await job.moveToCompleted('x', 'tok', false);
    });
  },

  // no failure option: parent stays waiting; retrying the child later releases it
  'B-F07': async c => {
    const f = c.flow();
    let bad = true;
    const cw = await c.worker('cq', async () => {
      if (bad) throw new Error('boom');
      return 7;
    });
    const cq = await c.queue('cq');
    await c.step('FlowProducer.add', async () =>
      jobInfo(
        await f.add({
          name: 'p',
          queueName: 'pq',
          opts: { jobId: 'P' },
          children: [{ name: 'c', queueName: 'cq', opts: { jobId: 'C1' } }],
        }),
      ),
    );
    await c.step('C1 fails', () => c.runOne(cw));
    c.clock.advance(10);
    await c.step('job.retry()', async () => {
      await (await cq.getJob('C1')).retry();
    });
    bad = false;
    c.clock.advance(10);
    await c.step('C1 completes', () => c.runOne(cw));
  },

  // parent with priority is released to prioritized
  'B-F08': async c => {
    const f = c.flow();
    const cw = await c.worker('cq');
    await c.step('FlowProducer.add', async () =>
      jobInfo(
        await f.add({
          name: 'p',
          queueName: 'pq',
          opts: { jobId: 'P', priority: 5 },
          children: [{ name: 'c', queueName: 'cq', opts: { jobId: 'C1' } }],
        }),
      ),
    );
    c.clock.advance(10);
    await c.step('C1 completes', () => c.runOne(cw));
  },

  // parent with delay is released to delayed
  'B-F09': async c => {
    const f = c.flow();
    const cw = await c.worker('cq');
    await c.step('FlowProducer.add', async () =>
      jobInfo(
        await f.add({
          name: 'p',
          queueName: 'pq',
          opts: { jobId: 'P', delay: 3000 },
          children: [{ name: 'c', queueName: 'cq', opts: { jobId: 'C1' } }],
        }),
      ),
    );
    c.clock.advance(10);
    await c.step('C1 completes', () => c.runOne(cw));
    c.clock.advance(3000);
    const pw = await c.worker('pq');
    await c.step('run parent after the delay', () => c.runOne(pw));
  },

  // children added at runtime and moveToWaitingChildren
  'B-F10': async c => {
    const pq = await c.queue('pq');
    const cq = await c.queue('cq');
    const pw = await c.worker('pq');
    const cw = await c.worker('cq');
    let job;
    await c.step('add parent as a plain job', async () => (await pq.add('p', { ret: 'done' }, { jobId: 'P' })).id);
    await c.step('take it', async () => {
      job = await pw.getNextJob('tok', { block: false });
      return job.id;
    });
    await c.step('moveToWaitingChildren with no child', () => job.moveToWaitingChildren('tok'));
    await c.step(
      'Queue.add child with parent option',
      async () =>
        (await cq.add('c', { ret: 1 }, { jobId: 'C1', parent: { id: job.id, queue: job.queueQualifiedName } })).id,
    );
    await c.step('moveToWaitingChildren for that child only', () =>
      job.moveToWaitingChildren('tok', { child: { id: 'C1', queue: c.qualified('cq') } }),
    );
    c.clock.advance(10);
    await c.step('child completes', () => c.runOne(cw));
    c.clock.advance(10);
    await c.step('parent runs again', () => c.runOne(pw));
  },

  // remove a parent with its children, and a child that is the last dependency
  'B-F11': async c => {
    const f = c.flow();
    const pq = await c.queue('pq');
    const cq = await c.queue('cq');
    const cw = await c.worker('cq');
    const tree = () => ({
      name: 'p',
      queueName: 'pq',
      opts: { jobId: 'P', priority: 9 },
      children: [
        { name: 'c', queueName: 'cq', opts: { jobId: 'C1' } },
        { name: 'c', queueName: 'cq', opts: { jobId: 'C2' } },
      ],
    });
    await c.step('FlowProducer.add', async () => jobInfo(await f.add(tree())));
    await c.step('C1 completes', () => c.runOne(cw));
    await c.step('Queue.remove(C2): last dependency gone, parent released (to wait, priority ignored)', () =>
      cq.remove('C2'),
    );
    await c.step('Queue.remove(P) removes the processed child too', () => pq.remove('P'));
    await c.step('FlowProducer.add again', async () => jobInfo(await f.add(tree())));
    await c.step('take C1 (locks it)', async () => (await cw.getNextJob('tok', { block: false })).id);
    await c.step('Queue.remove(P) with a locked child', () => pq.remove('P'));
    await c.step('Queue.remove(P, {removeChildren:false})', () => pq.remove('P', { removeChildren: false }));
  },

  // job.removeChildDependency
  'B-F12': async c => {
    const f = c.flow();
    const cq = await c.queue('cq');
    await c.step('FlowProducer.add', async () =>
      jobInfo(
        await f.add({
          name: 'p',
          queueName: 'pq',
          opts: { jobId: 'P' },
          children: [{ name: 'c', queueName: 'cq', opts: { jobId: 'C1' } }],
        }),
      ),
    );
    await c.step('removeChildDependency', async () => (await cq.getJob('C1')).removeChildDependency());
    await c.step('second call on a stale instance', async () => {
      const j = await cq.getJob('C1');
      j.parentKey = `${c.qualified('pq')}:P`;
      return j.removeChildDependency();
    });
  },

  // flow whose child ids already exist (completed / pending / owned by another parent)
  'B-F13': async c => {
    const f = c.flow();
    const cq = await c.queue('cq');
    const cw = await c.worker('cq');
    await c.step('plain job D1 completes, D2 waits', async () => {
      await cq.add('d', { ret: 'old' }, { jobId: 'D1' });
      const r = await c.runOne(cw);
      await cq.add('d', {}, { jobId: 'D2' });
      return r;
    });
    c.clock.advance(10);
    await c.step('flow over D1 (completed) and D2 (waiting)', async () =>
      jobInfo(
        await f.add({
          name: 'p',
          queueName: 'pq',
          opts: { jobId: 'P' },
          children: [
            { name: 'd', queueName: 'cq', opts: { jobId: 'D1' } },
            { name: 'd', queueName: 'cq', opts: { jobId: 'D2' } },
          ],
        }),
      ),
    );
    await c.step(
      'flow over D1 only, new parent P2, D1 owned by P (error -7 of a nested node is not surfaced)',
      async () =>
        jobInfo(
          await f.add({
            name: 'p',
            queueName: 'pq',
            opts: { jobId: 'P2' },
            children: [{ name: 'd', queueName: 'cq', opts: { jobId: 'D1' } }],
          }),
        ),
    );
    await c.step('plain job E1 completes', async () => {
      await cq.remove('D2');
      await cq.add('d', { ret: 'e' }, { jobId: 'E1' });
      return c.runOne(cw);
    });
    await c.step('flow over E1 only: parent released at the end of the insert', async () =>
      jobInfo(
        await f.add({
          name: 'p',
          queueName: 'pq',
          opts: { jobId: 'P3' },
          children: [{ name: 'd', queueName: 'cq', opts: { jobId: 'E1' } }],
        }),
      ),
    );
  },
};
