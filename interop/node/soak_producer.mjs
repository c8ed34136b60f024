// A producer to be killed: each line on stdin is a number of jobs to add, each line on stdout the ids of added ones.

import { Queue } from 'bullmq';
import { createInterface } from 'node:readline';

import { connection } from './connect.mjs';
import { plan } from './soak_plan.mjs';

const { queue: name, run } = JSON.parse(process.argv[2]);
const queue = new Queue(name, { connection, skipMetasUpdate: true });
queue.on('error', error => console.error(`soak producer ${run}: ${error.message}`));

const BATCH = 20;
let next = 0;
let work = Promise.resolve();

const acknowledge = jobs => process.stdout.write(JSON.stringify({ acked: jobs.map(job => job.id) }) + '\n');

async function add(count) {
  while (count > 0) {
    const batch = Array.from({ length: Math.min(count, BATCH) }, () => plan(run, next++));
    count -= batch.length;
    // In turns one by one, at the same time, and as one bulk.
    if ((next / BATCH) % 2 < 1) {
      await Promise.all(batch.map(async job => acknowledge([await queue.add(job.name, job.data, job.opts)])));
    } else {
      acknowledge(await queue.addBulk(batch));
    }
  }
}

const lines = createInterface({ input: process.stdin });
lines.on('line', line => (work = work.then(() => add(Number(line)))));
lines.on('close', () => process.exit(0));
