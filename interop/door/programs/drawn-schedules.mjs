// Schedules that are drawn, on a clock that jumps. A schedule is put once: what a second put changes, ours does otherwise.

import { dice } from '../dice.mjs';

export const virtual = true;

const SEEDS = (process.env.OXMQ_DOOR_SEEDS ?? '1,2,3').split(',').map(Number);
const CALLS = Number(process.env.OXMQ_DOOR_CALLS ?? 120);
const HOURS = 3600000;

export async function run(kit) {
  for (const seed of SEEDS) await play(kit, seed);
}

async function play(kit, seed) {
  const { chance, below, one } = dice(seed);
  const name = `q${seed}`;
  const queue = kit.queue(name);
  const worker = kit.worker(name, null, { lockDuration: 100000 * HOURS });
  let made = 0;
  const rule = () =>
    chance(0.5)
      ? { every: one([700, 1000, 60000, 86400000]), ...(chance(0.3) && { offset: below(700) }) }
      : {
          pattern: one([
            '*/10 * * * * *',
            '0 */5 * * * *',
            '0 30 2 * * *',
            '0 0 12 1 * *',
            '15 10 * * 1-5',
            '0 0 0 29 2 *',
          ]),
          ...(chance(0.5) && { tz: one(['Europe/Stockholm', 'America/New_York', 'Asia/Kolkata', 'UTC']) }),
          ...(chance(0.2) && { endDate: kit.clock.now + below(10 * 24 * HOURS) }),
          ...(chance(0.2) && { immediately: true }),
        };
  const limits = repeat => ({
    ...(chance(0.3) && { limit: 1 + below(4) }),
    ...(chance(0.2) && !repeat.immediately && { startDate: kit.clock.now + below(24 * HOURS) }),
  });
  const template = () => ({
    ...(chance(0.5) && { name: `n${below(9)}` }),
    ...(chance(0.5) && { data: { n: below(9) } }),
    ...(chance(0.4) && {
      opts: {
        ...(chance(0.5) && { priority: 1 + below(3) }),
        ...(chance(0.5) && { attempts: 2 }),
        ...(chance(0.5) && { removeOnComplete: true }),
      },
    }),
  });
  const calls = {
    put: async () => {
      const repeat = rule();
      const job = await queue.upsertJobScheduler(`s${(made += 1)}`, { ...repeat, ...limits(repeat) }, template());
      return job && [job.id, job.delay, job.opts];
    },
    remove: async () => queue.removeJobScheduler(`s${1 + below(made + 1)}`),
    run: async () => {
      const job = await worker.getNextJob('t', { block: false });
      if (!job) return 'nothing';
      kit.clock.advance(1);
      await job.moveToCompleted(1, 't', false);
      return [job.id, job.name, job.data, job.opts];
    },
    wait: async () => {
      kit.clock.advance(one([500, 1000, 30000, 7 * 60000, 5 * HOURS, 26 * HOURS]));
    },
    look: async () => queue.getJobScheduler(`s${1 + below(made + 1)}`),
  };
  for (let call = 0; call < CALLS; call++) {
    const what = one(['put', 'remove', 'run', 'run', 'run', 'run', 'run', 'wait', 'wait', 'look']);
    kit.clock.advance(1);
    await kit.saw(`${seed}.${call} ${what}`, calls[what]);
    kit.note(`${seed}.${call} ${what}: events`, await kit.events(name));
  }
  kit.note(`${seed}: all`, await queue.getJobSchedulers(0, -1, true));
  kit.note(`${seed}: whole`, await kit.whole(queue));
}
