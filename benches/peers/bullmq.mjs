// BullMQ for Node.js as a contender: the command line of `oxmq bench PART`, to the same definitions.
//
//   BENCH_REDIS=redis://127.0.0.1:6379 node bullmq.mjs add-single --queue q --n 30000 --warmup 200
//
// The library is the one that interop/ installs. With BENCH_DOOR, the path of our npm package, the same classes run on our
// engine instead, on the store in BENCH_REDIS or BENCH_SQLITE.

import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

const { BENCH_REDIS, BENCH_SQLITE, BENCH_DOOR } = process.env;
const { Queue, Worker, UnrecoverableError } = createRequire(new URL('../../interop/package.json', import.meta.url))('bullmq');

const [part, ...words] = process.argv.slice(2);
const keys = {
  queue: 'bench', n: 1_000, warmup: 200, parallel: 100, chunk: 1_000, delayMs: 0, priority: 0, pad: 62,
  concurrency: 1, workMs: 0, outcome: 'complete', gapMs: 10, queues: 1,
};
for (let at = 0; at < words.length; at += 2) {
  const key = words[at].replace(/^--/, '').replace(/-(.)/g, (_, letter) => letter.toUpperCase());
  if (!(key in keys) || words[at + 1] === undefined) throw new Error(`bullmq.mjs: ${words[at]} is unknown, or has no value`);
  keys[key] = typeof keys[key] === 'number' ? Number(words[at + 1]) : words[at + 1];
}

/** The last arguments of each class: options, and the backend if it is not BullMQ's own. */
async function backend() {
  if (BENCH_DOOR) {
    const door = createRequire(import.meta.url)(BENCH_DOOR);
    const url = BENCH_REDIS ?? `sqlite:${BENCH_SQLITE}`;
    // A worker asks for a connection, though none is used.
    return [{ connection: {} }, [(door.default ?? door.oxmq)({ url })]];
  }
  const url = new URL(BENCH_REDIS);
  const connection = { host: url.hostname, port: Number(url.port || 6379), db: Number(url.pathname.slice(1) || 0), maxRetriesPerRequest: null };
  return [{ connection }, []];
}
const [options, more] = await backend();
const queueOf = async name => {
  const queue = new Queue(name, options, ...more);
  await queue.waitUntilReady();
  return queue;
};
const workerOf = (name, processor, concurrency) => new Worker(name, processor, { ...options, concurrency }, ...more);

/** CLOCK_MONOTONIC in ns: the same clock in every process of the machine. Exact for the first hundred days of it. */
const now = () => Number(process.hrtime.bigint());
const pad = 'x'.repeat(keys.pad);
const payload = () => ({ t: now(), pad });

function start() {
  writeSync(1, 'START\n');
  const from = now();
  return (n, more = {}) => writeSync(1, `DONE ${JSON.stringify({ n, seconds: (now() - from) / 1e9, ...more })}\n`);
}

function percentiles(times) {
  const sorted = Float64Array.from(times).sort();
  const at = percent => Math.round(sorted[Math.min(Math.floor(sorted.length * percent / 100), sorted.length - 1)] / 100) / 10;
  return { p50_us: at(50), p90_us: at(90), p99_us: at(99) };
}

async function endOfStdin() {
  process.stdin.resume();
  if (!process.stdin.readableEnded) await once(process.stdin, 'end');
}

/** Resolves when n jobs have completed or failed for good. */
const ended = (worker, n) => new Promise(resolve => {
  let count = 0;
  const one = () => { if (++count === n) resolve(); };
  worker.on('completed', one);
  worker.on('failed', one);
  worker.on('error', error => console.error(error));
});

/** A part that adds, with its clock. */
const adding = body => async () => {
  const queue = await queueOf(keys.queue);
  await body(queue);
  await endOfStdin();
  await queue.close();
};

/** A part that does something to the whole queue. */
const steering = act => adding(async queue => {
  const done = start();
  await act(queue);
  done(0);
});

const parts = {
  'add-single': adding(async queue => {
    for (let i = 0; i < keys.warmup; i++) await queue.add('job', payload());
    const times = [];
    const done = start();
    for (let i = 0; i < keys.n; i++) {
      const from = now();
      await queue.add('job', payload());
      times.push(now() - from);
    }
    done(keys.n, percentiles(times));
  }),

  'add-concurrent': adding(async queue => {
    const done = start();
    await Promise.all(Array.from({ length: keys.parallel }, async (_, index) => {
      const share = Math.floor(keys.n / keys.parallel) + (index < keys.n % keys.parallel ? 1 : 0);
      for (let i = 0; i < share; i++) await queue.add('job', payload());
    }));
    done(keys.n);
  }),

  'add-bulk': adding(async queue => {
    const done = start();
    for (let added = 0, chunk = 0; added < keys.n; added += keys.chunk, chunk++) {
      const opts = {};
      if (keys.delayMs) opts.delay = keys.delayMs;
      if (keys.priority) opts.priority = chunk % keys.priority + 1;
      const length = Math.min(keys.chunk, keys.n - added);
      await queue.addBulk(Array.from({ length }, () => ({ name: 'job', data: payload(), opts })));
    }
    done(keys.n);
  }),

  'latency-producer': adding(async queue => {
    const done = start();
    for (let i = 0; i < keys.n; i++) {
      const from = now();
      await queue.add('job', payload());
      await sleep(Math.max(0, keys.gapMs - (now() - from) / 1e6));
    }
    done(keys.n);
  }),

  async process() {
    const fails = keys.outcome === 'fail';
    const work = async () => {
      if (keys.workMs) await sleep(keys.workMs);
      if (fails) throw new UnrecoverableError('as it was told');
    };
    const done = start();
    const worker = workerOf(keys.queue, work, keys.concurrency);
    await ended(worker, keys.n);
    done(keys.n);
    await worker.close();
    await endOfStdin();
  },

  async 'latency-worker'() {
    const times = [];
    const done = start();
    const worker = workerOf(keys.queue, async job => { times.push(now() - job.data.t); }, keys.concurrency);
    await ended(worker, keys.n);
    done(keys.n, percentiles(times));
    await worker.close();
    await endOfStdin();
  },

  async idle() {
    const names = keys.queues === 1 ? [keys.queue] : Array.from({ length: keys.queues }, (_, index) => `${keys.queue}-${index}`);
    const done = start();
    const workers = names.map(name => workerOf(name, async () => {}, keys.concurrency));
    await endOfStdin();
    done(0);
    await Promise.all(workers.map(worker => worker.close()));
  },

  async hold() {
    let held = 0, allHeld, release;
    const all = new Promise(resolve => { allHeld = resolve; });
    const released = new Promise(resolve => { release = resolve; });
    const worker = workerOf(keys.queue, async () => {
      if (++held === keys.n) allHeld();
      await released;
    }, keys.n);
    const end = ended(worker, keys.n);
    await all;
    const done = start();
    await endOfStdin();
    release();
    await end;
    done(keys.n);
    await worker.close();
  },

  clean: steering(queue => queue.clean(0, 0, 'completed')),
  retry: steering(queue => queue.retryJobs({ state: 'failed' })),
  obliterate: steering(queue => queue.obliterate({ force: true })),
};

if (!parts[part]) throw new Error(`bullmq.mjs: there is no part ${part}; one of ${Object.keys(parts).join(', ')}`);
await parts[part]();
