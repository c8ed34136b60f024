// Trees that are drawn: children that complete and fail in any order, each with a way to tell its parent. What is removed
// or retried is left out: there ours differs on purpose.

import { dice } from '../dice.mjs';
import { boom } from '../kit.mjs';

export const virtual = true;

const SEEDS = (process.env.OXMQ_DOOR_SEEDS ?? '1,2,3,4').split(',').map(Number);
const CALLS = Number(process.env.OXMQ_DOOR_CALLS ?? 150);
const HOURS = 3600000;

export async function run(kit) {
  for (const seed of SEEDS) await play(kit, seed);
}

async function play(kit, seed) {
  const { chance, below, one } = dice(seed);
  const names = ['a', 'b'].map(letter => `${letter}${seed}`);
  const queues = names.map(name => kit.queue(name));
  const workers = names.map(name => kit.worker(name, null, { lockDuration: 10 * HOURS }));
  const flow = kit.flow();
  const held = [];
  let made = 0;
  const ways = [
    'failParentOnFailure',
    'continueParentOnFailure',
    'ignoreDependencyOnFailure',
    'removeDependencyOnFailure',
  ];
  const node = depth => {
    const id = `n${(made += 1)}`;
    const leaf = depth === 0 || chance(0.3);
    return {
      name: id,
      queueName: one(names),
      data: { id },
      opts: {
        jobId: id,
        ...(chance(0.5) && { [one(ways)]: true }),
        ...(chance(0.2) && { priority: 1 + below(3) }),
        // A parent that is to fail forgets its delay in ours.
        ...(leaf && chance(0.3) && { delay: one([5, 50]) }),
        ...(chance(0.3) && { attempts: 2 }),
        ...(chance(0.1) && { removeOnComplete: true }),
      },
      ...(leaf ? {} : { children: Array.from({ length: 1 + below(3) }, () => node(depth - 1)) }),
    };
  };
  const calls = {
    tree: async () => (await flow.add(node(2))).job.id,
    take: async () => {
      const job = await one(workers).getNextJob('t', { block: false });
      if (job) held.push(job);
      return [job?.id, job?.deferredFailure];
    },
    complete: async () => (
      await held.splice(below(held.length), 1)[0].moveToCompleted(below(9), 't', false),
      undefined
    ),
    fail: async () => (await held.splice(below(held.length), 1)[0].moveToFailed(boom('no'), 't'), undefined),
    look: async () => {
      const id = `n${1 + below(Math.max(made, 1))}`;
      const job = (await queues[0].getJob(id)) ?? (await queues[1].getJob(id));
      if (!job) return id;
      const { unprocessed, ...rest } = await job.getDependencies();
      return {
        id,
        state: await job.getState(),
        unprocessed: unprocessed?.sort(),
        ...rest,
        counts: await job.getDependenciesCount(),
        values: await job.getChildrenValues(),
        ignored: await job.getIgnoredChildrenFailures(),
      };
    },
    wait: async () => {
      kit.clock.advance(one([10, 60]));
    },
  };
  const weights = [
    'tree',
    ...Array(6).fill('take'),
    ...Array(3).fill('complete'),
    ...Array(2).fill('fail'),
    'look',
    'wait',
  ];
  for (let call = 0; call < CALLS; call++) {
    const what = one(weights);
    if ((what === 'complete' || what === 'fail') && !held.length) continue;
    kit.clock.advance(1);
    await kit.saw(`${seed}.${call} ${what}`, calls[what]);
    for (const name of names) {
      const events = await kit.events(name);
      if (events.length) kit.note(`${seed}.${call} ${what}: events of ${name}`, events);
    }
  }
  for (const [index, queue] of queues.entries()) kit.note(`${seed}: whole ${names[index]}`, await kit.whole(queue));
}
